"""One retraining: learn from all of history, pass the gate or leave the champion, write it down."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from os import getpid
from pathlib import Path

import msgspec

from nearline import history, offline, retraining
from nearline.clock import Clock
from nearline.contracts.bundle import CHALLENGER, CHAMPION
from nearline.embedded.shell import Stopped
from nearline.errors import NearlineError
from nearline.retraining import Retraining, Run, Running, Verdict
from nearline.say import say
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
    learnt: str = ""
    """The fingerprint of the history that a training has read; history may grow before it does."""


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
        fingerprint = offline.fingerprint(history.snapshot(settings.history))

        def written(outcome: _Outcome) -> Run:
            run = Run(
                why=asked.why,
                started_us=started_us,
                seconds=round(time.monotonic() - since_s, 1),
                verdict=outcome.verdict,
                sentence=outcome.sentence[:1_000],
                version=outcome.version,
                recipe=asked.config.name,
                history_fingerprint=outcome.learnt or fingerprint,
            )
            _add(settings.home, run)
            return run

        try:
            outcome = _outcome(settings, asked, fingerprint, clock, bars, train)
        except (KeyboardInterrupt, Stopped):
            told = say(
                "it was stopped; the next run goes on from there if history has not grown",
                "已中断；若历史未增长，下次运行从中断处继续",
            )
            written(_Outcome(Verdict.STOPPED, told))
            raise
        except NearlineError as error:
            written(_Outcome(Verdict.FAILED, str(error)))
            raise
        except BaseException as error:
            name = type(error).__name__
            told = say(f"an error that nobody foresaw: {name}", f"意外错误：{name}")
            written(_Outcome(Verdict.FAILED, told))
            raise
        return written(outcome)


def settle(home: Path) -> None:
    """Write down a run that ended without a word; to be called by the lock's holder."""
    state = retraining.read(home)
    if state.running is not None:
        _add(home, state.running.killed())


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
    number, learnt = trained.version, trained.history_fingerprint
    try:
        as_of_us = gate.newest_us(settings.history, clock.now_us())
        gate.promote(registry, trained.version, asked.policy, as_of_us)
    except PromotionRefused as refused:
        challenger = registry.at(CHALLENGER)
        if challenger and challenger.number == trained.version:
            registry.withdraw(CHALLENGER)  # Nobody asked that a refused version be tried.
        return _Outcome(Verdict.REFUSED, str(refused), number, learnt)
    except NearlineError as error:
        told = say(f"the gate could not decide: {error}", f"无法判断是否达到门槛：{error}")
        return _Outcome(Verdict.FAILED, told, number, learnt)
    told = say(f"version {number} is champion", f"版本 {number} 已成为线上模型")
    return _Outcome(Verdict.PROMOTED, told, number, learnt)


def _known(registry: Registry, state: Retraining, recipe: str, fingerprint: str) -> _Outcome | None:
    """The outcome without training, where the same history has been learnt from already."""
    champion = registry.at(CHAMPION)
    lineage = registry.lineage(champion) if champion else None
    same = (fingerprint, recipe)
    if champion and lineage and (lineage.history_fingerprint, lineage.recipe) == same:
        told = say(
            f"history has not changed since the champion, version {champion.number}, learnt from "
            "it; --force trains all the same",
            f"线上模型（版本 {champion.number}）训练后历史没有变化；--force 可强制训练",
        )
        return _Outcome(Verdict.UNCHANGED, told)
    if champion and lineage and lineage.brought_by:
        told = say(
            f"the champion, version {champion.number}, holds a part from outside, which a "
            "retraining would replace by its own; --force trains all the same",
            f"线上模型（版本 {champion.number}）含自带模型，重新训练会将其替换；--force 可强制训练",
        )
        return _Outcome(Verdict.UNCHANGED, told)
    last = next((run for run in reversed(state.runs) if run.version), None)
    if (
        champion
        and last
        and last.verdict is Verdict.PROMOTED
        and last.version != champion.number
        and (last.history_fingerprint, last.recipe) == same
    ):
        told = say(
            f"version {last.version} has learnt from this history already, and somebody chose "
            f"version {champion.number} since; `nearline models promote {last.version}` takes it "
            "back, --force trains all the same",
            f"版本 {last.version} 已用这段历史训练，之后有人改用版本 {champion.number}；"
            f"`nearline models promote {last.version}` 可换回，--force 可强制训练",
        )
        return _Outcome(Verdict.UNCHANGED, told)
    judged = (Verdict.REFUSED, Verdict.FAILED)
    if last and last.verdict in judged and (last.history_fingerprint, last.recipe) == same:
        told = say(
            f"history has not changed since version {last.version} learnt from it and did not "
            f"pass; `nearline models promote {last.version}` asks the policy as it is now, --force "
            "trains all the same",
            f"版本 {last.version} 训练后历史没有变化，且未通过；"
            f"`nearline models promote {last.version}` 按现行门槛再判断，--force 可强制训练",
        )
        return _Outcome(last.verdict, told)
    return None


def _add(home: Path, run: Run) -> None:
    state = retraining.read(home)
    retraining.write(home, msgspec.structs.replace(state, runs=[*state.runs, run], running=None))
