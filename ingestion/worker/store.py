"""Changes into the online store: read, fold, commit; again where somebody came between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import redis
from redis.exceptions import NoScriptError

from ingestion.worker.fold import Changes, Entity, NewRow, first_known, fold
from nearline import arrivals, keys
from nearline.contracts.position import LogPosition, start_of
from nearline.errors import TransientError
from nearline.online import COMMIT_SCRIPT, CommitResult, Held, commit_args, held_fields, parse_held

ATTEMPTS = 20  # A conflict needs a second writer on the same entity within a millisecond.
ENTITIES_AT_ONCE = 500  # Bounds the memory of one round trip.

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
    """How the commits of a page went, in entities."""

    applied: int = 0
    duplicates: int = 0
    conflicts: int = 0


class OnlineStore:
    """The write side of the online features, for the worker of a partition."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._commit = client.register_script(COMMIT_SCRIPT)
        self._advance = client.register_script(ADVANCE_SCRIPT)

    def apply(self, partition: int, changes: Changes) -> Outcomes:
        """Commit the changes of one page of a partition, each exactly once.

        When this returns, every change is in the store. Raises redis.RedisError or
        ContendedEntity otherwise; calling again with the same page is then safe.
        """
        outcomes = Outcomes()
        waiting = iter(changes)
        while chunk := list(islice(waiting, ENTITIES_AT_ONCE)):
            attempts = 0
            while chunk:
                attempts += 1
                if attempts > ATTEMPTS:
                    raise ContendedEntity(chunk[0][0].layout.view, ATTEMPTS)
                chunk = self._attempt(partition, changes, chunk, outcomes)
        return outcomes

    def applied(self, partition: int) -> LogPosition:
        """Up to where everything of a partition has been applied."""
        held: Any = self._client.get(keys.applied(partition))
        return LogPosition.of(partition, held) if held else start_of(partition)

    def advance(self, upto: LogPosition) -> None:
        """Record that everything up to a position has been applied; never goes back."""
        self._advance(keys=[keys.applied(upto.partition)], args=[upto.ms, upto.counter])

    def read(self, partition: int, entities: Sequence[Entity]) -> list[Held]:
        """What the store holds of each entity, in step with them, in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for view, entity_id in entities:
            pipeline.hmget(view.layout.key(entity_id), held_fields(view.layout, partition))  # type: ignore[arg-type]
        replies: list[Any] = pipeline.execute()
        return [
            parse_held(view.layout, partition, reply)
            for (view, _), reply in zip(entities, replies, strict=True)
        ]

    def _attempt(
        self, partition: int, changes: Changes, entities: Sequence[Entity], outcomes: Outcomes
    ) -> list[Entity]:
        """Read, fold and commit once; return the entities that must be tried again."""
        sent: list[tuple[Entity, NewRow, int]] = []
        for entity, held in zip(entities, self.read(partition, entities), strict=True):
            row = fold(entity[0], held, changes[entity])
            if row is None:
                outcomes.duplicates += 1
            else:
                sent.append((entity, row, held.revision))
        again: list[Entity] = []
        new = first_known(changes, (entity for entity, _, revision in sent if not revision))
        for (entity, _, _), reply in zip(sent, self._send(sent, new), strict=True):
            if reply == CommitResult.APPLIED:
                outcomes.applied += 1
            elif reply == CommitResult.DUPLICATE:
                outcomes.duplicates += 1
            else:
                outcomes.conflicts += reply == CommitResult.CONFLICT
                again.append(entity)
        return again

    def _send(
        self, rows: Sequence[tuple[Entity, NewRow, int]], new: Mapping[str, int]
    ) -> list[str]:
        """The script's answer for each row; '' where the server had forgotten the script.

        New items are recorded before their rows: killed in between, they are new again.
        """
        if not rows:
            return []
        pipeline = self._client.pipeline(transaction=False)
        others = arrivals.record(pipeline, new)
        for (view, entity_id), row, revision in rows:
            args = commit_args(view.layout, row.columns, row.known_at_us, row.upto, revision)
            pipeline.evalsha(self._commit.sha, 1, view.layout.key(entity_id), *args)
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
