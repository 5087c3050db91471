"""What the `nearline dead-letters` commands do: read settings, show progress, tell the result."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import redis
import redis.asyncio
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ingestion.collector import dead_letters
from ingestion.collector.dead_letters import KEPT, Letter, Replay
from ingestion.collector.limits import Limits
from nearline import keys, write_keys
from nearline.clock import SystemClock, utc
from nearline.connecting import connected, connected_async
from nearline.embedded.running import settings_of_what_runs
from nearline.errors import StoreUnavailable
from nearline.log import EventLog
from nearline.say import say
from nearline.settings import Settings

_console = Console()
_errors = Console(stderr=True)


def list_table(code: str | None, limit: int) -> None:
    """Print the first letters as a table."""
    with _store() as (chosen, client):
        table = Table("id", "code", say("source", "来源"), say("received", "接收时间"), "bytes")
        waiting = dead_letters.total(client, chosen.partitions)
        for letter in dead_letters.letters(client, chosen.partitions):
            if code is not None and letter.code != code:
                continue
            if table.row_count == limit:
                break
            received = (
                f"{utc(letter.letter.call.received_at_us):%Y-%m-%d %H:%M:%S}"
                if letter.letter
                else "?"
            )
            table.add_row(
                str(letter.position), letter.code, letter.source, received, str(len(letter.raw))
            )
    _console.print(table)
    _console.print(say(f"{waiting} waiting in all", f"共 {waiting} 条"))


def show_table() -> None:
    """Print how many letters there are of each code, and the hint of the latest."""
    counts: Counter[str] = Counter()
    hints: dict[str, str] = {}
    with _store() as (chosen, client):
        for letter in _with_progress(client, chosen):
            counts[letter.code] += 1
            hints[letter.code] = letter.hint
    if not counts:
        _console.print(say("No event waits here.", "没有被拒绝的事件。"))
        return
    table = Table("code", say("events", "事件数"), say("what to mend", "如何修复"))
    for code, number in counts.most_common():
        table.add_row(code, str(number), hints[code])
    _console.print(table)


def export_file(file: str, code: str | None) -> None:
    """Write letters to a new file that only its owner may read."""
    path = Path(file)
    written = 0
    with (
        _store() as (chosen, client),
        os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out,
    ):
        for letter in _with_progress(client, chosen):
            if code is None or letter.code == code:
                out.write(dead_letters.exported(letter))
                written += 1
    _console.print(say(f"{written} events in {path}", f"已写入 {written} 个事件：{path}"))


def discard_letters(code: str | None) -> None:
    """Delete letters."""
    deleted = 0
    with _store() as (chosen, client):
        for letter in _with_progress(client, chosen):
            if code is None or letter.code == code:
                stream = keys.dead_letters(letter.position.partition)
                deleted += int(client.xdel(stream, letter.position.stream_id))  # type: ignore[arg-type]
    _console.print(say(f"{deleted} events deleted", f"已删除 {deleted} 个事件"))


def replay_letters(code: str | None, file: str | None) -> None:
    """Submit letters again and tell what became of them."""
    mended = dead_letters.mended_events(Path(file)) if file else {}
    with _store() as (chosen, client):
        partitions = chosen.partitions
        found = (
            dead_letters.by_id(client, list(mended), partitions)
            if file
            else dead_letters.letters(client, partitions)
        )
        letters = (letter for letter in found if code is None or letter.code == code)
        waiting = len(mended) if file else dead_letters.total(client, partitions)
        with Progress(console=_errors, transient=True) as progress:
            task = progress.add_task(say("replaying", "重新提交"), total=waiting)
            ends = asyncio.run(
                _replay(chosen, letters, mended, lambda n: progress.advance(task, n))
            )
    left = sum(number for end, number in ends.items() if end in KEPT)
    gone = sum(ends.values()) - left
    _console.print(
        say(
            f"{ends['accepted']} accepted, {ends['duplicate']} known already, "
            f"{ends['consent_refused']} refused for consent; {left} stay.",
            f"接收 {ends['accepted']}，重复 {ends['duplicate']}，未获同意 "
            f"{ends['consent_refused']}；仍保留 {left}。",
        )
    )
    if file and gone + left < len(mended):
        missing = len(mended) - gone - left
        _console.print(
            say(
                f"{missing} were no longer there or not asked for.",
                f"{missing} 条已不存在或未选中。",
            )
        )
    if ends["write_key_unknown"]:
        _console.print(
            say(
                f"{ends['write_key_unknown']} came under a write key that is gone: add a key of "
                "that name to write_keys.json to take them.",
                f"{ends['write_key_unknown']} 条所属的写入密钥已不存在：请在 write_keys.json 中"
                "加回同名密钥。",
            )
        )


async def _replay(
    chosen: Settings,
    letters: Iterator[Letter],
    mended: dict[str, bytes],
    progress: dead_letters.Progress,
) -> Counter[str]:
    write_keys.ensure(chosen.home)
    async with connected_async(chosen) as client:
        replay = Replay(
            client,
            EventLog(client, chosen.partitions),
            write_keys.WriteKeys(chosen.home),
            Limits(),
        )
        return await replay.run(
            letters, now_us=SystemClock().now_us(), mended=mended, progress=progress
        )


def _with_progress(client: redis.Redis, chosen: Settings) -> Iterator[Letter]:
    waiting = dead_letters.total(client, chosen.partitions)
    with Progress(console=_errors, transient=True) as progress:
        task = progress.add_task(say("reading", "读取"), total=waiting)
        for letter in dead_letters.letters(client, chosen.partitions):
            progress.advance(task)
            yield letter


@contextlib.contextmanager
def _store() -> Iterator[tuple[Settings, redis.Redis]]:
    chosen = settings_of_what_runs()
    with connected(chosen) as client:
        try:
            yield chosen, client
        except redis.RedisError as error:
            cause = type(error).__name__
            raise StoreUnavailable("the event log", chosen.redis_shown, cause) from error
