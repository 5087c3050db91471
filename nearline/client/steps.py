"""What a client does, as programs: generators that yield steps and are sent what came of them.

Everything that is decided is decided in a program, once. `run` performs each step in this
thread, `arun` awaits it: that is all in which the two clients differ.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")
Program = Generator[Any, Any, T]


def run(program: Program[T], perform: Callable[[Any], Any]) -> T:
    """What the program returns, or raises; `perform` does one step and tells what came of it."""
    outcome: Any = None
    try:
        while True:
            outcome = perform(program.send(outcome))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        program.close()


async def arun(program: Program[T], perform: Callable[[Any], Awaitable[Any]]) -> T:
    """The same, with steps that are awaited; where it is cancelled, the program is closed."""
    outcome: Any = None
    try:
        while True:
            outcome = await perform(program.send(outcome))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        program.close()
