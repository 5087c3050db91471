"""One training run, composed: history and Feast in, a registered bundle out."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nearline import history, offline
from nearline.clock import Clock
from nearline.contracts.bundle import CHAMPION, Lineage
from nearline.say import Words, say
from nearline.settings import Settings
from training import bundle, card, datasets, lock, pipeline, warm_start
from training.config import TrainingConfig
from training.distributed import place
from training.evaluation import html
from training.leaks import GuardedStates
from training.progress import Bars
from training.states import FeastStates
from training.tracking import HOME_TAG, Registry
from training.truth import left_at_us


@dataclass(frozen=True, slots=True)
class Trained:
    """The registered version and its figures."""

    version: str
    metrics: dict[str, float]
    left_out: list[Words]
    history_fingerprint: str = ""


def train(settings: Settings, config: TrainingConfig, clock: Clock, bars: Bars) -> Trained:
    """Run every stage and register the bundle as challenger; raises NearlineError.

    Raises lock.Busy at once where another training runs in this home.
    """
    with lock.held(settings.home, lock.TRAINING, "nearline train"):
        return run(settings, config, clock, bars)


def run(settings: Settings, config: TrainingConfig, clock: Clock, bars: Bars) -> Trained:
    """The same for whoever holds the training lock already."""
    import torch

    threads = min(os.cpu_count() or 1, 8)
    torch.set_num_threads(threads)
    bars.stage(say("history", "历史"), 1)
    # One moment for all that is read: what arrives meanwhile is neither learnt nor counted.
    at = history.snapshot(settings.history)
    fingerprint = offline.fingerprint(at)
    dataset = datasets.read(settings.history, at)
    bars.step(
        note=f"{len(dataset.interactions):,} interactions, {len(dataset.customer_ids):,} "
        f"customers, {len(dataset.items):,} items"
    )
    bars.stage(
        say("features, point in time", "特征（按时间点）"), sum(map(history.rows_in, at.files))
    )
    registry = Registry(settings.mlflow_uri, settings.mlflow_artifacts)
    checkpoints = settings.home / "checkpoints"
    with place.opened(settings, at) as fit:
        states = GuardedStates(FeastStates.open(settings, bars.step, at), dataset)
        learnt, journal = pipeline.run(
            dataset,
            states,
            config,
            checkpoints=checkpoints,
            served=settings.served,
            threads=threads,
            left_at_us=left_at_us(settings.truth),
            lineage=Lineage(recipe=config.name, history_fingerprint=fingerprint),
            watch=bars,
            line=_line(registry, checkpoints) if config.warm_start else None,
            fit=fit,
        )
    bars.stage(say("bundle and registry", "打包与注册"), 2)
    now_us = clock.now_us()
    text = card.render(card.TEMPLATE.read_text(), dataset, config, journal, now_us)
    head = html.facts(dataset, config, now_us, bundle.code_version())
    journal.report_html = html.render(head, journal)
    with _workplace(checkpoints / f"bundle-{os.getpid()}") as folder:
        manifest = bundle.write(folder, learnt, text, now_us)
        bars.step()
        version = registry.register(
            folder,
            manifest,
            config.flat(),
            journal,
            tags={
                "recipe": config.name,
                "code_version": manifest.code_version,
                "features_hash": manifest.features_hash,
                "history_fingerprint": fingerprint,
                HOME_TAG: mark_of(settings),
            },
        )
    warm_start.number(checkpoints, version, _lines(registry))
    bars.step(note=say(f"version {version}", f"版本 {version}"))
    return Trained(version, journal.metrics, journal.left_out, fingerprint)


def _line(registry: Registry, checkpoints: Path) -> warm_start.Line | None:
    """The champion's encoder A; of the version that it came from, where only parts are new."""
    found = (warm_start.find(checkpoints, number) for number in _lines(registry))
    return next((line for line in found if line is not None), None)


def _lines(registry: Registry) -> tuple[str, ...]:
    """The versions whose encoder A the champion's line may lie under."""
    champion = registry.at(CHAMPION)
    return (champion.number, registry.lineage(champion).parent) if champion else ()


def mark_of(settings: Settings) -> str:
    """What tells this home's runs from those of others in a shared MLflow; names neither."""
    place = f"{socket.gethostname()}:{settings.home}"
    return hashlib.blake2b(place.encode(), digest_size=8).hexdigest()


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
