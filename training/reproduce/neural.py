"""Our sequence model on public sequences: trained as the product trains it, ranked in full."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import torch

from training import baselines, encoder
from training.bundle import code_version
from training.config import EncoderConfig
from training.metrics import single_target
from training.neighbours import start_vectors
from training.reproduce.comparison import Origin, Place, Row, Watch
from training.reproduce.leave_one_out import LeaveOneOut


def row(
    log: LeaveOneOut, model: str, config: EncoderConfig, place: Place, watch: Watch, seed: int
) -> tuple[Row, float]:
    """Train on `log.train`, choose the epoch by its validation, judge on its test.

    Returns the row and the seconds of training; a run that was stopped goes on from its last
    epoch, and then the seconds count only what was left to do.
    """
    torch.set_num_threads(place.threads)
    watch.stage(f"{log.name}: {model}", config.max_epochs)
    started = time.monotonic()
    trained = encoder.fit(
        log.train,
        log.items,
        log.validation(config.history_length),
        config,
        start=start_vectors(log.train, log.items, config.dimension, seed),
        seed=seed,
        checkpoint=place.checkpoints / f"{log.name}-{_fingerprint(config, seed)}.pt",
        report=lambda figures: watch.step(
            note=f"loss {figures['loss']:.3f}  NDCG@10 {figures['ndcg_at_10']:.4f}"
        ),
    )
    seconds = time.monotonic() - started
    ranks = baselines.ranks(log.test(config.history_length), encoder.scorer(trained))
    return Row(model, Origin.OURS, figures(ranks), _shape(config)), seconds


def figures(ranks_Q: npt.NDArray[np.int64]) -> dict[str, float]:
    """Recall, NDCG and MRR at 5, 10 and 20 of questions with one target each."""
    found: dict[str, float] = {}
    for k in (5, 10, 20):
        found[f"recall_at_{k}"], found[f"ndcg_at_{k}"] = single_target(ranks_Q, k)
        found[f"mrr_at_{k}"] = float(np.where(ranks_Q <= k, 1 / ranks_Q, 0).mean())
    return found


def _shape(config: EncoderConfig) -> str:
    negatives = f"{config.negatives} negatives" if config.negatives else "all items as negatives"
    return (
        f"d {config.dimension}, {config.blocks} block(s), L {config.history_length}, "
        f"dropout {config.dropout}, {negatives}"
    )


def _fingerprint(config: EncoderConfig, seed: int) -> str:
    """Names a checkpoint: weights learnt by other code are not gone on with."""
    words = f"{sorted(asdict(config).items())} {seed} {code_version()}"
    return hashlib.sha256(words.encode()).hexdigest()[:12]
