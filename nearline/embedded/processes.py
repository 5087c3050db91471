"""Child processes that cannot outlive us: started together, watched, stopped in order.

Every child inherits a marker in its environment. Stopping ends with a search for the marker,
so that what a child has started itself (Ray's daemons) is found even after its parent died,
and a run that was killed with -9 is cleaned up by the next one.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from nearline.embedded.valkey import dying_with_us
from nearline.errors import TransientError
from nearline.say import say

MARKER = "NEARLINE_STACK"


class Child:
    """One running command whose output goes to a log file."""

    def __init__(
        self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.name, self.log = name, log
        with log.open("ab") as output:
            self._begins = output.tell()  # Whatever stands before is of another run.
            self._process = subprocess.Popen(  # noqa: S603 - our own commands, no shell
                dying_with_us(command),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=dict(environ),
                start_new_session=True,  # Ctrl-C reaches us only; we stop children in order.
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def stop(self, limit_s: float) -> None:
        """Ask it to stop, and kill it if it has not done so in time."""
        if self.exit_code is None:
            self._process.terminate()
            try:
                self._process.wait(limit_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def check_running(self) -> None:
        """Raise TransientError with the end of its log when it has stopped by itself."""
        if self.exit_code is not None:
            code, end = self.exit_code, tail(self.log, self._begins)
            raise TransientError(
                say(
                    f"{self.name} stopped by itself (exit {code}), and the other parts with it; "
                    "nothing that was accepted is lost. Mend what it complains of, then start "
                    f"all again with the same command. The end of {self.log}:\n{end}",
                    f"{self.name} 已自行停止（退出码 {code}），其他部件随之停止；"
                    "已受理的数据不会丢失。"
                    f"请先解决它所报告的问题，再用同一命令重新启动。{self.log} 的末尾：\n{end}",
                )
            )


def tail(log: Path, begins: int = 0, lines: int = 40) -> str:
    """The last lines of a log from some byte on, or a word that there are none."""
    try:
        with log.open("rb") as file:
            file.seek(begins)
            text = file.read().decode(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(empty)"


def environ_with(stack_id: str, settings: Mapping[str, str]) -> dict[str, str]:
    """Our environment, the settings, and the marker by which children are found again."""
    return {**os.environ, **settings, MARKER: stack_id}


def marked(stack_id: str) -> list[psutil.Process]:
    """Every live process that carries the marker, whoever its parent is."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARKER) == stack_id:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # Gone meanwhile, or another user's: not ours in either case.
    return found


def sweep(stack_id: str, grace_s: float = 3.0) -> list[str]:
    """Stop whatever still carries the marker; return the names of what had to be stopped."""
    left = marked(stack_id)
    names = _each(left, psutil.Process.name)
    _each(left, psutil.Process.terminate)
    _, alive = psutil.wait_procs(left, timeout=grace_s)
    _each(alive, psutil.Process.kill)
    psutil.wait_procs(alive, timeout=grace_s)
    return [str(name) for name in names]


def wait_until(
    ready: Mapping[str, Callable[[], bool]], children: Iterable[Child], limit_s: float
) -> None:
    """Wait until every check in `ready` holds.

    Raises TransientError when a child stops meanwhile, or at the limit, naming what is missing.
    """
    waiting = dict(ready)
    children = list(children)
    deadline = time.monotonic() + limit_s
    while waiting:
        for name, check in list(waiting.items()):
            if check():
                del waiting[name]
        for child in children:
            child.check_running()
        if waiting and time.monotonic() > deadline:
            logs = ", ".join(str(child.log) for child in children if child.name in waiting)
            raise TransientError(
                f"{', '.join(waiting)} did not become ready within {limit_s:.0f} s. Read {logs}"
            )
        if waiting:
            time.sleep(0.1)


def _each(
    processes: Iterable[psutil.Process], act: Callable[[psutil.Process], object]
) -> list[object]:
    results: list[object] = []
    for process in processes:
        try:
            results.append(act(process))
        except psutil.Error:
            continue  # It ended meanwhile, which is what was wanted.
    return results
