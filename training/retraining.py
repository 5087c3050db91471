"""One retraining: learn from all of history, pass the gate or leave the champion, write it down."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from os import getpid
from pathlib import Path

import msgspec

from nearline import offline, retraining
from nearline.clock import Clock
from nearline.contracts.bundle import CHALLENGER, CHAMPION
from nearline.embedded.shell import Stopped
from nearline.errors import NearlineError
from nearline.retraining import Retraining, Run, Running, Verdict
from nearline.settings import Settings
from training import gate, job, lock
from training.config import TrainingConfig
from training.progress import Bars
from training.promotion import PromotionRefused, read_policy
from training.tracking import Registry


@dataclass(frozen=True, slots=True)
class Asked:
    """What to train, by which policy to judge it, and why. `force` trains without news."""

    config: TrainingConfig
    policy: Path
    why: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class _Outcome:
    verdict: Verdict
    sentence: str
    version: str = ""


def once(
    settings: Settings,
    asked: Asked,
    clock: Clock,
    bars: Bars,
    train: Callable[[Settings, TrainingConfig, Clock, Bars], job.Trained] = job.run,
) -> Run:
    """Train, register and promote through the gate; return what is written down of it.

    Whatever happens, the champion is replaced by nothing but a version that the policy allows.
    Raises lock.Busy, having done nothing, where another training runs. A refusal and a
    history without news are returned; what stops or fails is written down, and raised again.
    """
    with lock.held(settings.home, lock.TRAINING, "nearline retrain"):
        settle(settings.home)
        clean(settings)
        started_us, since_s = clock.now_us(), time.monotonic()
        state = retraining.read(settings.home)
        running = Running(asked.why, started_us, getpid())
        retraining.write(settings.home, msgspec.structs.replace(state, running=running))
        fingerprint = offline.fingerprint(settings.history).decode()

        def written(outcome: _Outcome) -> Run:
            run = Run(
                why=asked.why,
                started_us=started_us,
                seconds=round(time.monotonic() - since_s, 1),
                verdict=outcome.verdict,
                sentence=outcome.sentence[:1_000],
                version=outcome.version,
                recipe=asked.config.name,
                history_fingerprint=fingerprint,
            )
            _add(settings.home, run)
            return run

        try:
            outcome = _outcome(settings, asked, fingerprint, clock, bars, train)
        except (KeyboardInterrupt, Stopped):
            told = "it was stopped; the next run goes on from there if history has not grown"
            written(_Outcome(Verdict.STOPPED, told))
            raise
        except NearlineError as error:
            written(_Outcome(Verdict.FAILED, str(error)))
            raise
        except BaseException as error:
            written(
                _Outcome(Verdict.FAILED, f"an error that nobody foresaw: {type(error).__name__}")
            )
            raise
        return written(outcome)


def settle(home: Path) -> Run | None:
    """Write down a run that ended without a word; to be called by the lock's holder."""
    state = retraining.read(home)
    if state.running is None:
        return None
    begun = state.running
    run = Run(
        why=begun.why,
        started_us=begun.started_us,
        seconds=0.0,
        verdict=Verdict.KILLED,
        sentence=f"its process {begun.pid} ended without a word; the champion was not touched",
    )
    _add(home, run)
    return run


def clean(settings: Settings) -> None:
    """Remove what runs that were killed have left aside; to be called by the lock's holder."""
    for folder in (settings.home / "checkpoints").glob("bundle-*"):
        shutil.rmtree(folder, ignore_errors=True)
    for path in (settings.home / "checkpoints").glob("*.tmp"):
        path.unlink(missing_ok=True)
    Registry(settings.mlflow_uri, settings.mlflow_artifacts).close_abandoned(job.mark_of(settings))


def _outcome(
    settings: Settings,
    asked: Asked,
    fingerprint: str,
    clock: Clock,
    bars: Bars,
    train: Callable[[Settings, TrainingConfig, Clock, Bars], job.Trained],
) -> _Outcome:
    read_policy(asked.policy)  # One that cannot be read must not cost a training to find out.
    registry = Registry(settings.mlflow_uri, settings.mlflow_artifacts)
    state = retraining.read(settings.home)
    if not asked.force and (known := _known(registry, state, asked.config.name, fingerprint)):
        return known
    trained = train(settings, asked.config, clock, bars)
    try:
        as_of_us = gate.newest_us(settings.history, clock.now_us())
        gate.promote(registry, trained.version, asked.policy, as_of_us)
    except PromotionRefused as refused:
        challenger = registry.at(CHALLENGER)
        if challenger and challenger.number == trained.version:
            registry.withdraw(CHALLENGER)  # Nobody asked that a refused version be tried.
        return _Outcome(Verdict.REFUSED, str(refused), trained.version)
    except NearlineError as error:
        return _Outcome(Verdict.FAILED, f"the gate could not decide: {error}", trained.version)
    return _Outcome(Verdict.PROMOTED, f"version {trained.version} is champion", trained.version)


def _known(registry: Registry, state: Retraining, recipe: str, fingerprint: str) -> _Outcome | None:
    """The outcome without training, where the same history has been learnt from already."""
    champion = registry.at(CHAMPION)
    lineage = registry.lineage(champion) if champion else None
    same = (fingerprint, recipe)
    if champion and lineage and (lineage.history_fingerprint, lineage.recipe) == same:
        return _Outcome(
            Verdict.UNCHANGED,
            f"history has not changed since the champion, version {champion.number}, learnt from "
            "it; --force trains all the same",
        )
    if lineage and lineage.brought_by:
        return _Outcome(
            Verdict.UNCHANGED,
            f"the champion, version {champion.number if champion else ''}, holds a part from "
            "outside, which a retraining would replace by its own; --force trains all the same",
        )
    last = next((run for run in reversed(state.runs) if run.version), None)
    judged = (Verdict.REFUSED, Verdict.FAILED)
    if last and last.verdict in judged and (last.history_fingerprint, last.recipe) == same:
        return _Outcome(
            last.verdict,
            f"history has not changed since version {last.version} learnt from it and did not "
            f"pass; `nearline models promote {last.version}` asks the policy as it is now, --force "
            "trains all the same",
        )
    return None


def _add(home: Path, run: Run) -> None:
    state = retraining.read(home)
    retraining.write(home, msgspec.structs.replace(state, runs=[*state.runs, run], running=None))
