"""Log lines of our own code: one JSON object each, for people and for whatever collects them.

Of an error a line tells the kind and the places in the code. Its words may name a customer, or
an address with its password, so no line holds them.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

OURS = ("nearline", "serving", "ingestion")
_MOST_BYTES, _OLDER_FILES = 10_000_000, 2


def start(part: str, folder: Path | None = None) -> None:
    """Write this process' lines from INFO up to stderr, or into `PART-PID.jsonl` in a folder.

    A file of its own for each process, since none may turn over what another writes; 30 MB at
    most. Starting again replaces what was started before.
    """
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{part}-{os.getpid()}.jsonl"
        handler = RotatingFileHandler(
            file, maxBytes=_MOST_BYTES, backupCount=_OLDER_FILES, encoding="utf-8"
        )
    handler.setFormatter(Lines(part))
    for name in OURS:
        logger = logging.getLogger(name)
        for before in logger.handlers:
            before.close()
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False


class Lines(logging.Formatter):
    """`{"at", "level", "part", "logger", "message"}`, and `error` where one was caught."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line = {
            "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "part": self._part,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = where(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def where(error: BaseException) -> str:
    """The kind of an error and its places in the code; not its text, which may be personal."""
    places = traceback.format_tb(error.__traceback__)
    return f"{type(error).__name__}\n{''.join(places)}".rstrip()
