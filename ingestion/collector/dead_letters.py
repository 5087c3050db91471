"""Rejected events: read, export and submit again once what refused them is mended."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import redis
import redis.asyncio

from ingestion.collector.letter import Call, DeadLetter, letter_of
from ingestion.collector.limits import Limits
from ingestion.collector.parse import parse
from nearline import keys
from nearline.clock import utc
from nearline.contracts.position import LogPosition
from nearline.contracts.verdict import Outcome
from nearline.errors import PermanentError
from nearline.log import EventLog, Rejection, Submission
from nearline.write_keys import WriteKeys

_PAGE = 200
Progress = Callable[[int], None]
KEPT = frozenset({"rejected", "unreadable", "write_key_unknown"})  # These stay in the stream.


@dataclass(frozen=True, slots=True)
class Letter:
    """One entry of the dead-letter stream; `letter` is None where another writer left it."""

    position: LogPosition
    code: str
    hint: str
    letter: DeadLetter | None
    raw: bytes  # The event's bytes as they came.

    @property
    def source(self) -> str:
        return self.letter.call.source if self.letter else "?"


def total(client: redis.Redis, partitions: int) -> int:
    """How many letters wait."""
    return sum(int(client.xlen(keys.dead_letters(p))) for p in range(partitions))  # type: ignore[arg-type,misc]


def letters(client: redis.Redis, partitions: int) -> Iterator[Letter]:
    """Every letter, oldest first within each partition."""
    for partition in range(partitions):
        after = "-"
        while True:
            page: Any = client.xrange(keys.dead_letters(partition), after, count=_PAGE)
            if not page:
                break
            for stream_id, fields in page:
                yield _letter(partition, stream_id, fields)
            after = f"({page[-1][0].decode()}"


def by_id(client: redis.Redis, ids: Sequence[str], partitions: int) -> Iterator[Letter]:
    """The letters of these ids that are still there; raises PermanentError for what is no id."""
    for text in ids:
        try:
            position = LogPosition.parse(text)
        except ValueError as error:
            raise PermanentError(f"{text[:40]!r} is no id of a dead letter: {error}") from None
        if position.partition >= partitions:
            continue
        stream = keys.dead_letters(position.partition)
        page: Any = client.xrange(stream, position.stream_id, position.stream_id)
        for stream_id, fields in page:
            yield _letter(position.partition, stream_id, fields)


def exported(letter: Letter) -> bytes:
    """A letter as one line of JSON for a person to mend: `event`, or `text` if it is no JSON."""
    line: dict[str, object] = {
        "id": str(letter.position),
        "code": letter.code,
        "hint": letter.hint,
        "source": letter.source,
    }
    if letter.letter:
        call: Call = letter.letter.call
        line["received_at"] = utc(call.received_at_us).isoformat()
        for name in ("type", "sent_at", "context"):
            if (value := getattr(call, name)) is not None:
                line[name] = value
    try:
        line["event"] = msgspec.json.decode(letter.raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        line["text"] = letter.raw.decode("utf-8", "backslashreplace")
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def mended_events(path: Path) -> dict[str, bytes]:
    """The events of a mended export by letter id; raises PermanentError with the line's number.

    A line without `event` (it still has `text`) stands for the letter as it is.
    """
    found: dict[str, bytes] = {}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                said = msgspec.json.decode(line, type=_Mended)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                raise PermanentError(
                    f"{path}, line {number}: {error}. Expected one exported letter a line, "
                    '{"id": "0-1760000000000-0", "event": {...}}'
                ) from None
            found[said.id] = bytes(said.event)
    return found


class _Mended(msgspec.Struct):
    id: str
    event: msgspec.Raw = msgspec.Raw(b"")


@dataclass(frozen=True, slots=True)
class Replay:
    """Submits letters again through the collector's own checks, as they are configured now.

    What is accepted, is a duplicate or is refused for consent leaves the dead letters; what is
    rejected again stays as it was and is not counted a second time. An event without a
    messageId is named after its letter, so that an interrupted replay can be repeated.
    """

    client: redis.asyncio.Redis
    log: EventLog
    write_keys: WriteKeys
    limits: Limits

    async def run(
        self,
        chosen: Iterator[Letter],
        *,
        now_us: int,
        mended: Mapping[str, bytes],
        progress: Progress,
    ) -> Counter[str]:
        """How many came to which end: an outcome, `unreadable` or `write_key_unknown`."""
        ends: Counter[str] = Counter()
        while page := list(islice(chosen, _PAGE)):
            ends.update(await self._page(page, now_us, mended))
            progress(len(page))
        return ends

    async def _page(
        self, page: Sequence[Letter], now_us: int, mended: Mapping[str, bytes]
    ) -> Counter[str]:
        ends: Counter[str] = Counter()
        submitted: list[tuple[Letter, Submission]] = []
        for letter in page:
            judged = self._judge(letter, now_us, mended)
            if isinstance(judged, str):
                ends[judged] += 1
            else:
                submitted.append((letter, judged))
        verdicts = await self.log.append([entry for _, entry in submitted])
        for (letter, _), verdict in zip(submitted, verdicts, strict=True):
            ends[verdict.outcome.value] += 1
            stream = keys.dead_letters(letter.position.partition)
            await self.client.xdel(stream, letter.position.stream_id)
        return ends

    def _judge(self, letter: Letter, now_us: int, mended: Mapping[str, bytes]) -> Submission | str:
        if letter.letter is None:
            return "unreadable"
        key = self.write_keys.named(letter.source)
        if key is None:
            return "write_key_unknown"
        judged = parse(
            mended.get(str(letter.position)) or letter.raw,
            letter.letter.call,
            key,
            self.limits.under(key),
            known_at_us=now_us,
            new_id=lambda: f"dead-{letter.position}",
        )
        return Outcome.REJECTED.value if isinstance(judged, Rejection) else judged


def _letter(partition: int, stream_id: bytes, fields: Mapping[bytes, bytes]) -> Letter:
    held = letter_of(fields[b"raw"])
    return Letter(
        LogPosition.of(partition, stream_id),
        fields[b"code"].decode(),
        fields[b"hint"].decode(),
        held,
        held.raw if held else fields[b"raw"],
    )
