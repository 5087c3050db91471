"""Progress of a training run on the terminal: one bar a stage, with its newest figures."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed


class Bars:
    """Bars on stderr; finished stages stay on the screen with their last figures."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            Elapsed(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._task: TaskID | None = None
        self._name, self._since = "", 0.0
        self.seconds: dict[str, float] = {}

    def stage(self, title: str, total: int) -> None:
        """Finish the running stage and begin the next."""
        self._finish()
        self._name, self._since = title, time.monotonic()
        self._task = self._progress.add_task(title, total=total, note="")

    def step(self, advance: int = 1, note: str = "") -> None:
        """Advance the running stage; an empty note keeps the last."""
        assert self._task is not None
        if note:
            self._progress.update(self._task, advance=advance, note=note)
        else:
            self._progress.update(self._task, advance=advance)

    def tell(self, sentence: str) -> None:
        """A line above the bars."""
        self._progress.console.print(sentence, soft_wrap=True)

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._finish()
        self._progress.stop()

    def _finish(self) -> None:
        if self._task is None:
            return
        task = self._progress.tasks[self._task]
        # Early stopping ends a stage before its last step.
        self._progress.update(self._task, total=task.completed or task.total)
        if not task.completed:
            self._progress.update(self._task, completed=task.total)
        self._progress.stop_task(self._task)
        self.seconds[self._name] = time.monotonic() - self._since
        self._task = None
