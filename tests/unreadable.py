"""A folder whose files may not be read, also where the tests run as root."""

from __future__ import annotations

from pathlib import Path

import pytest


def make_unreadable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, to open what lies in it raises PermissionError."""
    read = Path.open

    def unreadable(path: Path, mode: str = "r", **more: str) -> object:
        if path.parent == folder:
            raise PermissionError
        return read(path, mode, **more)

    monkeypatch.setattr(Path, "open", unreadable)
