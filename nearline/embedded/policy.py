"""A shop's scene and rule files while its system runs: their mistakes, told in the terminal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path


class PolicyFiles:
    """Checks the files whenever they change, and tells what is wrong, or that it is mended.

    What serves goes on with the last good ones meanwhile; without this nobody would know.
    """

    def __init__(
        self, folder: Path, environ: Mapping[str, str], tell: Callable[[str], object]
    ) -> None:
        """`environ` holds the settings of the system; `tell` gets lines in the reader's words."""
        self._folder, self._environ, self._tell = folder, environ, tell
        self._seen: list[tuple[str, int, int]] = []
        self._broken = False

    def look(self) -> None:
        """Check the files if any changed; without a change this costs a stat of each."""
        seen = _seen(self._folder)
        if seen == self._seen:
            return
        self._seen = seen
        # The command of the room that reads these files; the court knows nothing of them.
        done = subprocess.run(
            [sys.executable, "-m", "nearline", "scenes", "check"],
            env=dict(self._environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        broken = done.returncode != 0
        if broken or self._broken:
            self._tell(done.stdout.rstrip())
        self._broken = broken


def _seen(folder: Path) -> list[tuple[str, int, int]]:
    """Name, instant of change and size of each file; none where there is no folder."""
    found: list[tuple[str, int, int]] = []
    for path in sorted(folder.glob("*.y*ml")):
        try:
            stat = path.stat()
        except OSError:
            found.append((path.name, 0, 0))  # Gone since, or a link to nothing.
        else:
            found.append((path.name, stat.st_mtime_ns, stat.st_size))
    return found
