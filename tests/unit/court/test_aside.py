"""A process of its own answers, or why it did not is said in a sentence."""

from __future__ import annotations

import pytest

from nearline import aside


def timed(statement: str, limit_s: float = 60.0) -> str:
    return aside.run("timeit", ["-n", "1", "-r", "1", statement], limit_s)


def test_what_it_wrote_is_given_back() -> None:
    assert "hello\n" in timed("print('hello')")


def test_how_it_ended_is_told() -> None:
    with pytest.raises(aside.Ended, match=r"ended the process that tried it \(signal 9\)"):
        timed("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(aside.Ended, match=r"^ValueError: no such thing$"):
        timed("raise ValueError('no such thing')")
    with pytest.raises(aside.Ended, match=r"^it says nothing$"):
        timed("import os; os._exit(1)")
    with pytest.raises(aside.Ended, match="took more than 0 s"):
        timed("import time; time.sleep(60)", limit_s=0.2)
