"""A shop's scene and rule files while its system runs: their mistakes, told in the terminal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from nearline.seen import Seen, seen

_CHECK_LIMIT_S = 30.0


class PolicyFiles:
    """Checks the files whenever they change, and tells what is wrong, or that it is mended.

    What serves goes on with the last good ones meanwhile; without this nobody would know.
    """

    def __init__(
        self, folder: Path, environ: Mapping[str, str], tell: Callable[[str], object]
    ) -> None:
        """`environ` holds the settings of the system; `tell` gets lines in the reader's words."""
        self._folder, self._environ, self._tell = folder, environ, tell
        self._seen: Seen = ()
        self._broken = False

    def look(self) -> None:
        """Check the files if any changed; without a change this costs a stat of each."""
        files = seen(self._folder)
        if files == self._seen:
            return
        self._seen = files
        # The command of the room that reads these files; the court knows nothing of them.
        try:
            done = subprocess.run(
                [sys.executable, "-m", "nearline", "scenes", "check"],
                env=dict(self._environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=_CHECK_LIMIT_S,
            )
        except subprocess.TimeoutExpired:  # A disk that hangs; whoever looks has parts to watch.
            self._seen = ()
            return
        broken = done.returncode != 0
        if broken or self._broken:
            self._tell(done.stdout.rstrip())
        self._broken = broken
