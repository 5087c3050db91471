"""Writing a bundle: what was learnt, as files that cannot execute, sealed by a manifest."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from nearline import __version__
from nearline.clock import utc
from nearline.contracts import bundle as contract
from nearline.contracts.bundle import (
    RANKER_FILES,
    EncoderSpec,
    Lineage,
    Manifest,
    RankerFormat,
    RankerSpec,
    ScoreSpec,
)
from nearline.transforms.covisits import CovisitTable
from nearline.transforms.customer import CUSTOMER_FEATURES
from nearline.transforms.item import ITEM_FEATURES
from nearline.transforms.ranking import RANKER_FEATURES
from training.datasets import Dataset
from training.encoder import content_table
from training.encoder_export import export
from training.encoder_model import Encoder
from training.index import Chosen
from training.scores.scores import Scores

_LIBRARIES = ("torch", "onnxruntime", "faiss-cpu", "xgboost-cpu", "numpy", "feast")


@dataclass(frozen=True)
class Learnt:
    """Everything that a bundle is made of. Without a ranker, retrieval's order stands."""

    dataset: Dataset
    encoder: Encoder
    popular: Sequence[int]
    ranker: Any | None
    scores: Scores
    metrics: dict[str, float]
    lineage: Lineage
    covisits: CovisitTable
    index: Chosen


def write(directory: Path, learnt: Learnt, card: str, created_at_us: int) -> Manifest:
    """Write and seal a bundle into an empty folder, verify it, and return its manifest."""
    import faiss

    directory.mkdir(parents=True)
    export(learnt.encoder, directory / contract.ENCODER)
    dataset = learnt.dataset
    faiss.write_index(learnt.index.index, str(directory / contract.INDEX))
    np.savez(directory / contract.COVISITS, allow_pickle=False, **learnt.covisits.arrays())
    _write_json(
        directory / contract.ITEMS,
        list(
            zip(
                dataset.items.item_ids,
                dataset.categories,
                dataset.prices_cents,
                dataset.first_seen_us,
                strict=True,
            )
        ),
    )
    _write_json(directory / contract.POPULAR, list(learnt.popular))
    content = content_table(learnt.encoder)
    if content is not None:
        (directory / contract.CONTENT).write_bytes(msgspec.json.encode(content))
    if learnt.ranker is not None:
        learnt.ranker.save_model(directory / RANKER_FILES[RankerFormat.XGBOOST])
    scores = learnt.scores
    for model in scores.models:
        model.booster.save_model(directory / f"{model.name}.ubj")
    _write_json(
        directory / contract.CALIBRATION, {model.name: model.curve for model in scores.models}
    )
    if scores.lifetime is not None:
        _write_json(directory / contract.LIFETIME, scores.lifetime.parameters())
    _write_json(directory / contract.CATEGORY_SHARES, scores.category_shares)
    (directory / "card.md").write_text(card)
    lists = [list(CUSTOMER_FEATURES), list(ITEM_FEATURES), list(RANKER_FEATURES)]
    ranker = RankerSpec(
        RankerFormat.XGBOOST, RANKER_FILES[RankerFormat.XGBOOST], list(RANKER_FEATURES)
    )
    contract.write_manifest(
        directory,
        Manifest(
            created_at=_rfc3339(created_at_us),
            data_from=_rfc3339(dataset.from_us),
            data_to=_rfc3339(dataset.to_us),
            items=len(dataset.items),
            encoder=EncoderSpec(learnt.encoder.length, learnt.index.index.d),
            index=learnt.index.spec,
            ranker=ranker if learnt.ranker is not None else None,
            customer_features=lists[0],
            item_features=lists[1],
            ranker_features=lists[2],
            features_hash=contract.features_hash(*lists),
            scores=[
                ScoreSpec(
                    model.name,
                    model.task,
                    model.horizon_days,
                    f"{model.name}.ubj",
                    list(model.features),
                    model.active_days,
                )
                for model in scores.models
            ],
            metrics={name: value for name, value in learnt.metrics.items() if isfinite(value)},
            libraries={name: version(name) for name in _LIBRARIES},
            code_version=code_version(),
            lineage=learnt.lineage,
            digests=contract.digests_of(directory),
        ),
    )
    return contract.verify(directory, "just written")


def code_version() -> str:
    """The package's version, with the commit where the code runs from a checkout."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return __version__
    try:
        found = subprocess.run(  # noqa: S603 - our own words, no shell
            ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__}+{found.stdout.strip()}"


def _rfc3339(instant_us: int) -> str:
    return utc(instant_us).isoformat().replace("+00:00", "Z")


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, separators=(",", ":")))


__all__ = ["Learnt", "code_version", "write"]
