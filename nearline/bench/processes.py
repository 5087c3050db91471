"""Processes of the bench's own that answer on stdout: started, followed, ended with us."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from nearline.bench.jobs import Job, Outcome, Tick
from nearline.embedded.valkey import dying_with_us
from nearline.errors import TransientError

T = TypeVar("T")
_SAID_AT_MOST = 2_000


def drive(job: Job, tick: Callable[[], None]) -> Outcome:
    """Let the load generator do a job; `tick` is called once a second."""

    def line(data: bytes) -> None:
        msgspec.json.decode(data, type=Tick)
        tick()

    answer = run("nearline.bench.driver", job, line)
    return msgspec.json.decode(answer, type=Outcome)


def asked(module: str, question: object, type_: type[T], environ: Mapping[str, str]) -> T:
    """What a module answers to a question (JSON on stdin, one line of JSON on stdout)."""
    return msgspec.json.decode(run(module, question, environ=environ), type=type_)


def run(
    module: str,
    question: Any,
    line: Callable[[bytes], None] = lambda _: None,
    environ: Mapping[str, str] | None = None,
) -> bytes:
    """The last line that a module says; those before go to `line` as they come.

    Raises TransientError with what it complained of when it fails.
    """
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(  # noqa: S603 - our own module, no shell
            dying_with_us([sys.executable, "-m", module]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={**os.environ, **(environ or {})},
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # It died at once; its exit code tells.
                process.stdin.write(msgspec.json.encode(question))
                process.stdin.close()
            last = b""
            for said in process.stdout:
                if last:
                    line(last)
                last = said
            code = process.wait()
        except BaseException:
            process.kill()
            raise
        if code != 0 or not last:
            complaints.seek(0)
            told = complaints.read().decode(errors="replace")[-_SAID_AT_MOST:]
            raise TransientError(f"`python -m {module}` failed (exit {code}): {told}")
        return last
