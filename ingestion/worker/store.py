"""Changes into the online store: read, fold, commit; again where somebody came between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import redis
from redis.exceptions import NoScriptError

from ingestion.worker.fold import Changes, NewRow, Part, first_known, fold, rounds_of
from nearline import arrivals, keys
from nearline.contracts.position import LogPosition, start_of
from nearline.errors import TransientError
from nearline.online import COMMIT_SCRIPT, CommitResult, Held, commit_args, held_fields, parse_held

ATTEMPTS = 20  # A conflict needs a second writer on the same entity within a millisecond.
ROWS_AT_ONCE = 500  # Bounds the memory of one round trip.

# KEYS[1] applied position. ARGV: ms, counter. It only ever goes forward.
ADVANCE_SCRIPT = """
local held = redis.call('GET', KEYS[1])
if held then
  local ms, counter = string.match(held, '^(%d+)%-(%d+)$')
  ms, counter = tonumber(ms), tonumber(counter)
  local new_ms, new_counter = tonumber(ARGV[1]), tonumber(ARGV[2])
  if ms > new_ms or (ms == new_ms and counter >= new_counter) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1] .. '-' .. ARGV[2])
return 1
"""


class ContendedEntity(TransientError):
    """Other writers kept coming between reading and committing."""

    def __init__(self, view: str, attempts: int) -> None:
        self.view, self.attempts = view, attempts
        super().__init__(
            f"{attempts} commits of one row of {view!r} found it changed since it was read: "
            "too many workers write to the same partition. Nothing is lost, the page is read "
            "again; stop the extra workers."
        )


@dataclass(slots=True)
class Outcomes:
    """How the commits of some pages went, in rows."""

    applied: int = 0
    duplicates: int = 0
    conflicts: int = 0


class OnlineStore:
    """The write side of the online features, for the worker of some partitions."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._commit = client.register_script(COMMIT_SCRIPT)

    def apply(self, pages: Mapping[int, Changes]) -> Outcomes:
        """Commit the changes of one page of each of some partitions, each exactly once.

        When this returns, every change is in the store. Raises redis.RedisError or
        ContendedEntity otherwise; calling again with the same pages is then safe. All partitions
        share their round trips, since each that writes waits for a sync to disk.
        """
        outcomes = Outcomes()
        for parts in rounds_of(pages):
            waiting = iter(parts)
            while chunk := list(islice(waiting, ROWS_AT_ONCE)):
                attempts = 0
                while chunk:
                    attempts += 1
                    if attempts > ATTEMPTS:
                        raise ContendedEntity(chunk[0].view.layout.view, ATTEMPTS)
                    chunk = self._attempt(chunk, outcomes)
        return outcomes

    def applied(self, partition: int) -> LogPosition:
        """Up to where everything of a partition has been applied."""
        held: Any = self._client.get(keys.applied(partition))
        return LogPosition.of(partition, held) if held else start_of(partition)

    def advance(self, upto: Iterable[LogPosition]) -> None:
        """Record that everything up to these positions has been applied; never goes back.

        One for each partition, all in one round trip: the server syncs each of its own to disk.
        """
        pipeline = self._client.pipeline(transaction=False)
        for one in upto:
            pipeline.eval(ADVANCE_SCRIPT, 1, keys.applied(one.partition), one.ms, one.counter)
        pipeline.execute()

    def read(self, parts: Sequence[Part]) -> list[Held]:
        """What the store holds of each part's row, in step with them, in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for part in parts:
            pipeline.hmget(part.key, held_fields(part.view.layout, part.partition))  # type: ignore[arg-type]
        replies: list[Any] = pipeline.execute()
        return [
            parse_held(part.view.layout, part.partition, reply)
            for part, reply in zip(parts, replies, strict=True)
        ]

    def _attempt(self, parts: Sequence[Part], outcomes: Outcomes) -> list[Part]:
        """Read, fold and commit once; return the parts that must be tried again."""
        sent: list[tuple[Part, NewRow, int]] = []
        for part, held in zip(parts, self.read(parts), strict=True):
            row = fold(part.view, held, part.changes)
            if row is None:
                outcomes.duplicates += 1
            else:
                sent.append((part, row, held.revision))
        again: list[Part] = []
        for (part, _, _), reply in zip(sent, self._send(sent), strict=True):
            if reply == CommitResult.APPLIED:
                outcomes.applied += 1
            elif reply == CommitResult.DUPLICATE:
                outcomes.duplicates += 1
            else:
                outcomes.conflicts += reply == CommitResult.CONFLICT
                again.append(part)
        return again

    def _send(self, rows: Sequence[tuple[Part, NewRow, int]]) -> list[str]:
        """The script's answer for each row; '' where the server had forgotten the script.

        New items are recorded before their rows: killed in between, they are new again.
        """
        if not rows:
            return []
        pipeline = self._client.pipeline(transaction=False)
        others = arrivals.record(
            pipeline, first_known(part for part, _, revision in rows if not revision)
        )
        for part, row, revision in rows:
            layout = part.view.layout
            args = commit_args(layout, row.columns, row.known_at_us, row.upto, revision)
            pipeline.evalsha(self._commit.sha, 1, part.key, *args)
        answers: list[str] = []
        forgotten = False
        for place, reply in enumerate(pipeline.execute(raise_on_error=False)):
            if isinstance(reply, NoScriptError):
                forgotten = True
                answers.append("")
            elif isinstance(reply, Exception):
                raise reply
            elif place >= others:
                answers.append(reply.decode())
        if forgotten:  # The server restarted: tell it again, and try those rows again.
            self._client.script_load(COMMIT_SCRIPT)
        return answers
