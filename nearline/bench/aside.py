"""What is measured in processes of rooms: an answer without HTTP, Feast's SDK, Ray Serve's echo.

The court imports no room, so each runs as a module of its own and answers in JSON.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from nearline.bench import inprocess, sdk
from nearline.bench.plan import Plan, Progress
from nearline.bench.processes import asked
from nearline.bench.report import Latency
from nearline.bench.stats import percentile, summarise
from nearline.bench.trials import LIST_LENGTH, Players
from nearline.embedded.valkey import dying_with_us, free_port
from nearline.errors import TransientError

FEAST_ITEMS = 200
_ECHO, _ATTEMPTS, _SAID_AT_MOST = "serving.echo", 3, 2_000


def in_process(
    plan: Plan, environ: Mapping[str, str], players: Players, progress: Progress
) -> tuple[list[Latency], list[str], list[str]]:
    """The same question without HTTP, where its time goes, and the candidates of one answer."""
    advance = progress("the same question in one process", "同一问题，单进程内", 1)
    question = inprocess.Question(players.customers, LIST_LENGTH, 3 * plan.trials)
    found = asked(inprocess.MODULE, question, inprocess.InProcess, environ)
    advance()
    whole = Latency(
        "floor_in_process",
        "floor: the same question in one process, without HTTP",
        "下限：同一问题，单进程内，无 HTTP",
        summarise(found.answers_ms),
    )
    stages = ", ".join(
        f"{stage} {percentile(times, 0.5):.2f}" for stage, times in found.stages_ms.items()
    )
    middle = percentile([float(count) for count in found.candidates], 0.5)
    remarks = [
        f"In one process an answer is chosen from {middle:.0f} candidates (median); p50 of its "
        f"stages in ms: {stages} (compose contains find, rank, rules and explain; find contains "
        "encoder and index)."
    ]
    if found.degraded:
        remarks.append(f"In one process, answers were degraded: {', '.join(found.degraded)}.")
    return [whole], found.candidate_ids, remarks


def feast(
    plan: Plan,
    environ: Mapping[str, str],
    candidates: list[str],
    others: list[str],
    progress: Progress,
) -> tuple[list[Latency], list[str]]:
    """Feast's SDK reading the candidates of one answer, and 200 items with them among these."""
    filled = list(dict.fromkeys([*candidates, *others]))[:FEAST_ITEMS]
    found: list[Latency] = []
    remarks: list[str] = []
    for key, ids in (("feast_200", filled), ("feast_candidates", candidates)):
        en = f"floor: Feast's SDK reads {len(ids)} items of the same store"
        zh = f"下限：Feast SDK 从同一存储读取 {len(ids)} 个商品"
        advance = progress(en, zh, 1)
        read = asked(sdk.MODULE, sdk.Ask(ids, plan.trials), sdk.Read, environ)
        advance()
        found.append(Latency(key, en, zh, summarise(read.samples_ms)))
        until = Latency(
            f"{key}_values",
            f"{en}, until there are values (to_dict)",
            f"{zh}，直到取得数值（to_dict）",
            summarise(read.values_ms),
        )
        found.append(until)
        if read.found < len(ids):
            remarks.append(f"Of the {len(ids)} items, {read.found} had a row in the store.")
    if len(filled) < FEAST_ITEMS:
        remarks.append(f"The shop recommends only {len(filled)} items to read with Feast's SDK.")
    return found, remarks


@contextmanager
def serve_echo(environ: Mapping[str, str], answer: bytes) -> Iterator[str]:
    """Ray Serve answering every question with the same bytes; gives its URL.

    Raises TransientError when it does not start. Ray chooses ports that somebody may take before
    it does, so it is asked more than once.
    """
    with tempfile.TemporaryDirectory() as home, ExitStack() as running:
        for attempt in range(_ATTEMPTS):
            try:
                url = running.enter_context(_echo(environ, answer, Path(home) / str(attempt)))
                break
            except TransientError:
                if attempt == _ATTEMPTS - 1:
                    raise
        yield url


@contextmanager
def _echo(environ: Mapping[str, str], answer: bytes, home: Path) -> Iterator[str]:
    home.mkdir()
    port, complaints = free_port(), home / "complaints"
    own = {
        "NEARLINE_HOME": str(home),
        "NEARLINE_API_HTTP_PORT": str(port),
        "NEARLINE_API_GRPC_PORT": str(free_port()),
    }
    with (
        complaints.open("wb") as said,
        subprocess.Popen(  # noqa: S603 - our own module, no shell
            dying_with_us([sys.executable, "-m", _ECHO]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, **environ, **own},
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(msgspec.json.encode({"answer": answer.decode()}))
                process.stdin.close()
            if not process.stdout.readline():
                told = complaints.read_text(errors="replace")[-_SAID_AT_MOST:]
                raise TransientError(f"Ray Serve's echo did not start: {told}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
