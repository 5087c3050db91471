"""What ends work on Ctrl-C: a flag that a signal may raise at any step of a thread that waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from nearline.stopping import SIGNALS, StopFlag, interrupt_on_term, stop_on_signals

# A process of its own: where the flag hangs, only its time limit can tell.
STORM = """
import signal
from nearline.stopping import StopFlag

flag = StopFlag()
signal.signal(signal.SIGALRM, lambda *_: flag.set())
for n in range(300):
    flag = StopFlag()
    signal.setitimer(signal.ITIMER_REAL, {first_s} + n % 40 * 1e-6)
    while not flag.wait({timeout_s}):
        pass
print("ended")
"""


@pytest.mark.parametrize("first_s", [0.000001, 0.0005])  # While a wait begins; amid it.
@pytest.mark.parametrize("timeout_s", [0.0, 0.00001, 0.1, None])
def test_a_signal_at_any_step_of_waiting_ends_it(timeout_s: float | None, first_s: float) -> None:
    words = [sys.executable, "-c", STORM.format(timeout_s=timeout_s, first_s=first_s)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=50, check=False)

    assert done.stdout == "ended\n", done.stderr


def test_a_flag_waits_as_long_as_it_was_told_and_stays_raised() -> None:
    flag = StopFlag()
    since_s = time.monotonic()

    assert flag.wait(0.02) is False
    assert flag.wait(-1.0) is False
    assert time.monotonic() - since_s >= 0.02
    flag.set()

    assert [flag.wait(60.0), flag.wait(), flag.is_set()] == [True] * 3


def test_everyone_who_waits_is_woken() -> None:
    flag = StopFlag()
    waiters = [threading.Thread(target=flag.wait, daemon=True) for _ in range(5)]
    for waiter in waiters:
        waiter.start()
    time.sleep(0.05)

    flag.set()

    for waiter in waiters:
        waiter.join(30.0)
    assert not any(waiter.is_alive() for waiter in waiters)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_raises_the_flag_and_handlers_are_put_back(number: signal.Signals) -> None:
    before = [signal.getsignal(one) for one in SIGNALS]

    with stop_on_signals() as stopped:
        os.kill(os.getpid(), number)

        assert stopped.wait(30.0)
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_the_second_ctrl_c_does_not_wait_for_order() -> None:
    with stop_on_signals() as stopped:
        os.kill(os.getpid(), signal.SIGINT)
        stopped.wait(30.0)
        os.kill(os.getpid(), signal.SIGTERM)  # Told again by a supervisor, which is patient.

        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_sigterm_unwinds_like_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt), interrupt_on_term():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
