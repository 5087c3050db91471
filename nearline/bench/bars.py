"""Progress bars on stderr, one for each thing that is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from nearline.say import say


@contextmanager
def bars(console: Console) -> Iterator[Callable[[str, str, int], Callable[[], None]]]:
    """A function that opens one more bar and returns how to move it by one."""
    # Few refreshes: drawing must not take the time that is being measured.
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        refresh_per_second=2,
    ) as progress:

        def open_bar(en: str, zh: str, steps: int) -> Callable[[], None]:
            task = progress.add_task(say(en, zh), total=steps)
            return lambda: progress.advance(task)

        yield open_bar
