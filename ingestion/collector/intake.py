"""The one way in: raw events of a request are judged and appended to the log."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import redis

from ingestion.collector.letter import Call
from ingestion.collector.limits import Limits
from ingestion.collector.parse import parse
from nearline.clock import Clock
from nearline.contracts.event import Event
from nearline.contracts.verdict import Outcome, Verdict
from nearline.errors import StoreUnavailable
from nearline.log import EventLog
from nearline.write_keys import WriteKey

_logger = logging.getLogger(__name__)
MADE_ID = "no messageId was sent, so this one was made: sent again, the event would be stored twice"


def random_id() -> str:
    """A name for an event that came without one."""
    return f"made-{uuid.uuid4()}"


@dataclass(frozen=True, slots=True)
class Intake:
    """What both doors share. `address` names the log's server in errors."""

    log: EventLog
    clock: Clock
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    new_id: Callable[[], str] = random_id
    address: str = "redis"

    async def take(self, events: Sequence[bytes], call: Call, key: WriteKey) -> list[Verdict]:
        """One verdict for each event, in order; what is accepted lies on disk.

        Raises StoreUnavailable when the log does not answer: then nothing is known of the
        batch, and sending it again with the same message ids is safe.
        """
        limits = self.limits.under(key)
        made: set[str] = set()

        def new_id() -> str:
            made.add(fresh := self.new_id())
            return fresh

        # Received by the clock that the call carries: an event is known when it was received.
        batch = [
            parse(raw, call, key, limits, known_at_us=call.received_at_us, new_id=new_id)
            for raw in events
        ]
        try:
            verdicts = await self.log.append(batch)
        except (redis.RedisError, OSError) as error:
            _logger.warning("the event log did not take a batch: %s", type(error).__name__)
            raise StoreUnavailable("the event log", self.address, type(error).__name__) from error
        if not made:
            return verdicts
        return [
            replace(verdict, hint=MADE_ID)
            if isinstance(entry, Event)
            and entry.event_id in made
            and verdict.outcome is Outcome.ACCEPTED
            else verdict
            for entry, verdict in zip(batch, verdicts, strict=True)
        ]
