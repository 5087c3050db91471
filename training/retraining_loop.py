"""A schedule that lives until it is stopped: it waits for the beat and trains in a child.

The child has the memory of a training and gives it back; a child that the kernel kills leaves
this process alive, and its champion untouched.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from nearline import retraining
from nearline.clock import Clock
from nearline.embedded.valkey import dying_with_us
from nearline.retraining import Schedule
from nearline.say import say
from nearline.stopping import StopFlag, stop_on_signals
from training import lock, schedule
from training.retraining import settle

_LOOK_S = 30.0  # A clock that is set, or somebody who trains by hand, is noticed within this.
_BUSY_US = 600_000_000
_STOP_LIMIT_S = 60.0


class Loop:
    """One schedule of one home. `command(why)` is what a run executes."""

    def __init__(
        self,
        home: Path,
        rhythm: Schedule,
        command: Callable[[str], Sequence[str]],
        clock: Clock,
        tell: Callable[[str], None],
        look_s: float = _LOOK_S,
    ) -> None:
        self._home, self._rhythm, self._command = home, rhythm, command
        self._clock, self._tell, self._look_s = clock, tell, look_s

    def run(self) -> None:
        """Train on every beat until SIGTERM or SIGINT; raises lock.Busy beside another schedule."""
        with (
            lock.held(self._home, lock.SCHEDULE, "nearline retrain --every"),
            stop_on_signals() as stopped,
        ):
            try:
                retraining.write_schedule(self._home, self._rhythm)
                self._tell(say(f"Retraining {self._rhythm}.", f"定时训练：{self._rhythm}。"))
                wait_until_us = 0
                while not stopped.is_set():
                    self._wait(wait_until_us, stopped)
                    if not stopped.is_set():
                        wait_until_us = self._train(stopped)
            finally:
                self._settle()

    def _wait(self, at_least_until_us: int, stopped: StopFlag) -> None:
        """Until the beat, which moves whenever somebody else has trained."""
        told = ""
        while not stopped.is_set():
            self._settle()
            state, now_us = retraining.read(self._home), self._clock.now_us()
            due_us = max(schedule.next_us(self._rhythm, state.last, now_us), at_least_until_us)
            if due_us <= now_us:
                return
            sentence = schedule.told_next(self._rhythm, state, state.running is not None, now_us)
            if sentence != told:
                self._tell(sentence)
            told = sentence
            stopped.wait(min((due_us - now_us) / 1e6, self._look_s))

    def _settle(self) -> None:
        """Write down a run that was killed; one that lives holds the lock, and nothing is done."""
        if retraining.read(self._home).running is not None:
            with (
                suppress(lock.Busy),
                lock.held(self._home, lock.TRAINING, "nearline retrain --every"),
            ):
                settle(self._home)

    def _train(self, stopped: StopFlag) -> int:
        """Train in a child; return the instant before which it is of no use to try again."""
        before = retraining.read(self._home).last
        why = schedule.why(self._rhythm, before)
        self._tell(say(f"Training: {why}.", f"开始训练：{why}。"))
        child = subprocess.Popen(  # noqa: S603 - our own command, no shell
            dying_with_us(self._command(why)), start_new_session=True
        )
        try:
            while child.poll() is None and not stopped.wait(0.5):
                pass
            if child.poll() is None:
                child.terminate()  # It keeps its checkpoint, and writes down that it was stopped.
                with suppress(subprocess.TimeoutExpired):
                    child.wait(_STOP_LIMIT_S)
        finally:
            if child.poll() is None:  # It takes too long, or the second Ctrl-C.
                child.kill()
            code = child.wait()
        self._settle()
        after = retraining.read(self._home).last
        if after is not None and after != before:
            self._tell(after.told())
            return 0
        if not stopped.is_set():
            self._tell(
                say(f"It could not begin (exit {code}); again in 10 minutes.",
                    f"未能开始（退出码 {code}）；10 分钟后重试。")
            )  # fmt: skip
        return self._clock.now_us() + _BUSY_US
