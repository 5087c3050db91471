"""What became of each event that was sent: the other half of contract 1.

The law `received = stored + duplicate + rejected + consent_refused` is kept by counting
the four in the same atomic step that stores the event.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nearline.contracts.position import LogPosition


class Outcome(StrEnum):
    """The four things that can become of an event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    CONSENT_REFUSED = "consent_refused"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one event, with the position if it was stored.

    `code` is a stable word for programs, `hint` a sentence for the person who must mend
    the sender; both are set for refusals. Neither ever quotes personal data.
    """

    outcome: Outcome
    event_id: str | None = None
    position: LogPosition | None = None
    code: str | None = None
    hint: str | None = None
