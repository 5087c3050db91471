"""When to train next: instants in, an instant out.

A schedule has a beat: every so many seconds, beginning at a time of day (UTC) where one is
given, else with the last run. A beat that was missed, because nothing ran then, is made up for
at once. A run that failed is tried again before the next beat.
"""

from __future__ import annotations

import re

from nearline.clock import utc
from nearline.errors import PermanentError
from nearline.retraining import Retraining, Run, Schedule, Verdict
from nearline.say import say

_DAY_US = 86_400_000_000
_RETRY_US = 3_600_000_000
_UNITS_S = {"m": 60, "h": 3_600, "d": 86_400}


def parse(every: str, at: str | None) -> Schedule:
    """A schedule from words such as `24h` and `03:00`; raises PermanentError with what to write."""
    match = re.fullmatch(r"(\d+)([mhd])", every)
    every_us = int(match[1]) * _UNITS_S[match[2]] * 1_000_000 if match else 0
    if not every_us:
        raise PermanentError(
            f"--every {every!r} is no length of time: write minutes, hours or days, such as 90m, "
            "24h or 1d"
        )
    if at is None:
        return Schedule(every_us)
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", at)
    if not match:
        raise PermanentError(f"--at {at!r} is no time of day: write UTC as 03:00")
    if max(every_us, _DAY_US) % min(every_us, _DAY_US):
        raise PermanentError(
            f"--at needs a beat that comes back to the same time of day; --every {every} does "
            "not. Write 24h or 1d, or a part of a day such as 6h."
        )
    return Schedule(every_us, (int(match[1]) * 60 + int(match[2])) * 60_000_000)


def next_us(schedule: Schedule, last: Run | None, now_us: int) -> int:
    """When to run next; `now_us` when that is at once. `last` is the newest run, if any."""
    if last is None:
        return now_us
    due_us = _beat_us(schedule, last.started_us)
    if last.verdict in {Verdict.FAILED, Verdict.KILLED}:
        due_us = min(due_us, last.ended_us + _RETRY_US)
    return max(due_us, now_us)


def told_next(schedule: Schedule, state: Retraining, training: bool, now_us: int) -> str:
    """When a schedule that runs will train next, in a sentence.

    `training` says whether the run of `state.running`, if there is one, is alive: what comes
    after it depends on how it ends.
    """
    if state.running is not None and training:
        beat_us = _beat_us(schedule, state.running.started_us)
        if beat_us <= now_us:
            return say("Next: when the run under way has ended.", "下次：本次训练结束后。")
        at = f"{utc(beat_us):%Y-%m-%d %H:%M} UTC"
        return say(
            f"Next: {at}, or an hour after the run under way if that fails.",
            f"下次：{at}；若本次训练失败，则在其结束一小时后。",
        )
    last = state.running.killed() if state.running is not None else state.last
    due_us = next_us(schedule, last, now_us)
    if due_us == now_us:
        return say("Next: within minutes.", "下次：几分钟内。")
    at = f"{utc(due_us):%Y-%m-%d %H:%M} UTC"
    return say(f"Next: {at}.", f"下次：{at}。")


def why(schedule: Schedule, last: Run | None) -> str:
    """The reason that a run of the schedule gives for itself."""
    if last is None:
        return say(f"{schedule}, the first", f"{schedule}，首次")
    if last.verdict in {Verdict.FAILED, Verdict.KILLED, Verdict.STOPPED}:
        word = last.verdict.word
        return say(f"{schedule}, again after one that was {word}", f"{schedule}，上次{word}后重试")
    return str(schedule)


def _beat_us(schedule: Schedule, started_us: int) -> int:
    """The first beat after a run began."""
    if schedule.at_us is None:
        return started_us + schedule.every_us
    since_us = started_us - schedule.at_us
    return (since_us // schedule.every_us + 1) * schedule.every_us + schedule.at_us
