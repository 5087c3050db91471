"""An event of ours as a call in Segment's format, to be sent to a collector. Pure."""

from __future__ import annotations

from nearline.client import messages
from nearline.client.errors import Message
from nearline.clock import utc
from nearline.contracts.event import Event, Line, Purpose, StatedFacts


def message_of(event: Event, *, message_id: str, at_us: int) -> Message:
    """The call that makes the collector store this event, happening at `at_us`."""
    properties: dict[str, object] = {}
    if event.value_cents is not None:
        properties["value"] = event.value_cents / 100
    if event.currency is not None:
        properties["currency"] = event.currency
    if event.response_id is not None:
        properties["response_id"] = event.response_id
    message = messages.track(
        event.customer_id,
        event.name,
        message_id=message_id,
        at=utc(at_us),
        consent=consent_of(event.consent),
        properties=properties,
        items=[_item(line) for line in event.lines] if event.lines else None,
    )
    return message | ({"anonymousId": event.anonymous_id} if event.anonymous_id else {})


def consent_of(granted: tuple[str, ...]) -> dict[str, bool]:
    """Every purpose with what the customer said to it."""
    return {purpose.value: purpose.value in granted for purpose in Purpose}


def _item(line: Line) -> dict[str, object]:
    item = messages.item_line(
        line.item_id,
        price=None if line.price_cents is None else line.price_cents / 100,
        category=line.category,
        quantity=line.quantity,
    )
    return item if line.facts is None else item | _stated(line.facts)


def _stated(facts: StatedFacts) -> dict[str, object]:
    rating = facts.rating_hundredths
    said = {
        "stock": facts.stock,
        "rating": None if rating is None else rating / 100,
        "banned": facts.banned,
        "min_age": facts.min_age_years,
        "repurchase_days": facts.repurchase_days,
    }
    return {name: value for name, value in said.items() if value is not None}
