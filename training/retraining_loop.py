"""A schedule that lives until it is stopped: it waits for the beat and trains in a child.

The child has the memory of a training and gives it back; a child that the kernel kills leaves
this process alive, and its champion untouched.
"""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

import msgspec

from nearline import retraining
from nearline.clock import Clock, utc
from nearline.embedded.valkey import dying_with_us
from nearline.say import say
from training import lock, schedule
from training.retraining import settle
from training.schedule import Schedule

_LOOK_S = 30.0  # Longest wait at a time: a clock that is set, or a laptop that slept, is noticed.
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
    ) -> None:
        self._home, self._rhythm, self._command = home, rhythm, command
        self._clock, self._tell = clock, tell
        self._stopped = threading.Event()

    def run(self) -> None:
        """Train on every beat until SIGTERM or SIGINT; raises lock.Busy beside another schedule."""
        with lock.held(self._home, lock.SCHEDULE, "nearline retrain --every"):
            before = {
                one: signal.signal(one, self._stop) for one in (signal.SIGTERM, signal.SIGINT)
            }
            try:
                self._tell(say(f"Retraining {self._rhythm}.", f"定时训练：{self._rhythm}。"))
                while not self._stopped.is_set():
                    self._wait_until(self._planned())
                    if not self._stopped.is_set():
                        self._train()
            finally:
                for one, handler in before.items():
                    signal.signal(one, handler)
                self._plan(None)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopped.set()

    def _planned(self) -> int:
        last = retraining.read(self._home).last
        next_us = schedule.next_us(self._rhythm, last, self._clock.now_us())
        self._plan(next_us)
        if next_us > self._clock.now_us():
            self._tell(
                say(f"Next: {utc(next_us):%Y-%m-%d %H:%M} UTC.",
                    f"下次：{utc(next_us):%Y-%m-%d %H:%M} UTC。")
            )  # fmt: skip
        return next_us

    def _plan(self, next_us: int | None) -> None:
        """Note the beat, unless somebody who trains now writes the file: then it stays untold."""
        with suppress(lock.Busy), lock.held(self._home, lock.TRAINING, "nearline retrain --every"):
            settle(self._home)
            state = retraining.read(self._home)
            every_s = self._rhythm.every_us / 1e6
            retraining.write(
                self._home, msgspec.structs.replace(state, every_s=every_s, next_us=next_us)
            )

    def _wait_until(self, instant_us: int) -> None:
        while (left_us := instant_us - self._clock.now_us()) > 0:
            if self._stopped.wait(min(left_us / 1e6, _LOOK_S)):
                return

    def _train(self) -> None:
        before = retraining.read(self._home).last
        why = schedule.why(self._rhythm, before)
        self._tell(say(f"Training: {why}.", f"开始训练：{why}。"))
        child = subprocess.Popen(  # noqa: S603 - our own command, no shell
            dying_with_us(self._command(why)), start_new_session=True
        )
        while child.poll() is None and not self._stopped.wait(0.5):
            pass
        if child.poll() is None:
            child.terminate()  # It keeps its checkpoint, and writes down that it was stopped.
            try:
                child.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                child.kill()
        code = child.wait()
        self._plan(None)  # A child that was killed is written down here.
        after = retraining.read(self._home).last
        if after is not None and after != before:
            self._tell(after.told())
        elif not self._stopped.is_set():
            self._tell(
                say(f"It could not begin (exit {code}); again in 10 minutes.",
                    f"未能开始（退出码 {code}）；10 分钟后重试。")
            )  # fmt: skip
            self._wait_until(self._clock.now_us() + _BUSY_US)
