"""What can go wrong between an app and Nearline, told apart by what the app can do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nearline.contracts.position import LogPosition
from nearline.contracts.verdict import Verdict
from nearline.errors import PermanentError, TransientError

Message = dict[str, Any]  # One call in Segment's format.


class Refused(PermanentError):
    """The service understood the request and said no; the problem document (RFC 9457) says why.

    `errors` are the fields that must be mended: pairs of a field's name and what to do.
    """

    def __init__(self, service: str, status: int, problem: Mapping[str, Any]) -> None:
        self.service, self.status, self.problem = service, status, dict(problem)
        self.code = str(problem.get("code") or problem.get("type") or f"http_{status}")
        self.errors = tuple(_fields(problem.get("errors")))
        title = str(problem.get("title") or "no reason given")
        detail = str(problem.get("detail") or "").strip().rstrip(".")
        # The detail tells the first of them already, where the service is not an older one.
        more = [text for text in map(": ".join, self.errors) if text.rstrip(".") not in detail]
        told = "; ".join([detail, *more] if detail else more)
        why = f"{title}: {told}" if told else title
        hint = " Check the write key." if status in (401, 403) else ""
        super().__init__(
            f"the {service} refused the request (HTTP {status}): {why.rstrip('.')}.{hint}"
        )


def _fields(errors: object) -> Iterator[tuple[str, str]]:
    """What a problem names; nothing where it is of another shape, as another server's may be."""
    for one in errors if isinstance(errors, list) else ():
        if isinstance(one, dict) and (hint := one.get("hint")):
            yield str(one.get("field") or "request"), str(hint)


class Unavailable(TransientError):
    """No usable answer arrived before the deadline; the same call may succeed later."""

    def __init__(self, service: str, address: str, waited_s: float, cause: str) -> None:
        self.service, self.address, self.waited_s, self.cause = service, address, waited_s, cause
        super().__init__(
            f"the {service} at {address} gave no answer within {waited_s:.1f} s ({cause}). "
            "`nearline doctor` says what is down."
        )


class AnswerUnreadable(PermanentError):
    """An answer came that this client does not understand: versions differ, or a wrong address."""

    def __init__(self, service: str, address: str, cause: str) -> None:
        self.service, self.address, self.cause = service, address, cause
        super().__init__(
            f"the answer of the {service} at {address} cannot be read ({cause}). Check that the "
            "address is Nearline's, and that client and server are of the same version."
        )


class QueueFull(TransientError):
    """Events arrive faster than they can be sent; this one was not taken."""

    def __init__(self, queued: int, waited_s: float, cause: str | None) -> None:
        self.queued, self.waited_s, self.cause = queued, waited_s, cause
        why = f"the last try to send failed: {cause}" if cause else "sending cannot keep up"
        super().__init__(
            f"{queued:,} events wait to be sent and none left within {waited_s:.1f} s ({why}). "
            "This event was not taken: keep it and try again, or raise max_queued."
        )


class EventTooLarge(PermanentError):
    """An event beyond the collector's limit; nothing was queued."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes
        super().__init__(
            f"the event takes {size_bytes:,} bytes as JSON; the collector takes {limit_bytes:,}. "
            "Send large properties elsewhere and refer to them."
        )


class FlushTimeout(TransientError):
    """Some events are still queued; they are sent on in the background."""

    def __init__(
        self, waiting: int, waited_s: float, verdicts: Sequence[Verdict], cause: str | None
    ) -> None:
        self.waiting, self.waited_s = waiting, waited_s
        self.verdicts, self.cause = list(verdicts), cause
        super().__init__(
            f"{waiting:,} events are still queued after {waited_s:.1f} s"
            f"{f' ({cause})' if cause else ''}. Nothing is lost: sending goes on, flush again."
        )


class Undelivered(TransientError):
    """Sending has stopped with events left; `messages` holds them for `Client.resend`.

    Some of them may have arrived without our learning of it: sending them again is safe,
    since they keep their message ids.
    """

    def __init__(self, messages: Sequence[Message], cause: str) -> None:
        self.messages, self.cause = list(messages), cause
        super().__init__(
            f"{len(self.messages):,} events were not delivered: {cause} They are in this error's "
            "`messages`; hand them to `resend` of a new client."
        )


class StillStale(TransientError):
    """The event is on the log, and the answers do not show it yet."""

    def __init__(self, wanted: LogPosition, seen: str, waited_s: float) -> None:
        self.wanted, self.seen, self.waited_s = wanted, seen, waited_s
        super().__init__(
            f"after {waited_s:.1f} s recommendations show position {seen or 'none'} of this "
            f"customer, not yet {wanted}. Is the stream worker running? `nearline doctor` tells."
        )
