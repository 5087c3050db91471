"""Contract 1: the one event type inside Nearline, and its bytes on the log.

The wire formats (Segment's JSON, gRPC) are turned into this by the collector; everything
behind the log knows only this. Instants are UTC microseconds since the epoch, money is
hundredths of a currency unit.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum, StrEnum
from typing import Annotated

import msgspec

SCHEMA_VERSION = 1

# Bounds that decoding enforces, so that no number on the log can overflow a feature column
# (int64) or a calendar: entries beyond them are unreadable, and every reader passes over them.
Instant = Annotated[int, msgspec.Meta(ge=1, le=253_402_300_799_999_999)]  # to the end of 9999
Cents = Annotated[int, msgspec.Meta(ge=-(10**12), le=10**12)]
Quantity = Annotated[int, msgspec.Meta(ge=0, le=10**6)]
MOST_STOCK, MOST_RATING_HUNDREDTHS = 10**9, 500
MOST_MIN_AGE_YEARS, MOST_REPURCHASE_DAYS = 120, 3_650
Stock = Annotated[int, msgspec.Meta(ge=0, le=MOST_STOCK)]
RatingHundredths = Annotated[int, msgspec.Meta(ge=0, le=MOST_RATING_HUNDREDTHS)]
MinAgeYears = Annotated[int, msgspec.Meta(ge=0, le=MOST_MIN_AGE_YEARS)]
RepurchaseDays = Annotated[int, msgspec.Meta(ge=0, le=MOST_REPURCHASE_DAYS)]


class Kind(IntEnum):
    """What an interaction with one item was; the number is the encoder's input."""

    VIEW = 1
    CART = 2
    PURCHASE = 3
    FAVOURITE = 4


class Purpose(StrEnum):
    """What a customer may consent to; each use of an event names one."""

    ANALYTICS = "analytics"
    PERSONALIZATION = "personalization"
    MARKETING = "marketing"


# GA4 e-commerce names that change features; every other name is stored and counts nothing.
KIND_OF_NAME = {
    "view_item": Kind.VIEW,
    "add_to_cart": Kind.CART,
    "purchase": Kind.PURCHASE,
    "add_to_wishlist": Kind.FAVOURITE,
}
ITEM_LISTED = "item_listed"  # A shop announces or reprices items; carries no customer behaviour.
EXPOSURE = "exposure"  # Nearline showed these items; `response_id` says in which answer.
NOTHING_SHOWN = "nothing_shown"  # The same of an answer without items.


class StatedFacts(msgspec.Struct, frozen=True, array_like=True):
    """What an `item_listed` event states of one item for the rules; None: it does not say.

    `stock` counts units, and stands at 1 where the shop only says that there are some. An item
    may be bought again `repurchase_days` after a purchase; 0: never. A field's place is its code
    in stored item states (nearline/transforms/item_facts.py): append, never reorder.
    """

    stock: Stock | None = None
    rating_hundredths: RatingHundredths | None = None  # 4.35 stars are 435.
    banned: bool | None = None
    min_age_years: MinAgeYears | None = None
    repurchase_days: RepurchaseDays | None = None


class Line(msgspec.Struct, frozen=True, array_like=True):
    """One item in an event. `price_cents` is per unit; None where the sender did not say."""

    item_id: str
    quantity: Quantity = 1
    price_cents: Cents | None = None
    category: str | None = None
    facts: StatedFacts | None = None  # Only in `item_listed`; absent in older bytes on the log.


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened, as accepted.

    `known_at_us` is the instant from which Nearline could know it: when the collector
    accepted it, or, for imported history, when it occurred. `occurred_at_us <= known_at_us`
    always holds, so features read as of an instant never contain a later event.
    `payload` is the sender's remaining properties, traits and context as JSON text.
    """

    event_id: str
    type: str  # track, identify, page, screen, group, alias
    name: str  # For track: the event's name; otherwise the type.
    customer_id: str
    occurred_at_us: Instant
    known_at_us: Instant
    source: str  # The write key's name, or the import's.
    anonymous_id: str | None = None
    lines: tuple[Line, ...] = ()
    value_cents: Cents | None = None
    currency: str | None = None
    consent: tuple[str, ...] = ()  # Granted purposes, sorted.
    response_id: str | None = None
    payload: str = "{}"
    schema_version: int = SCHEMA_VERSION

    @property
    def kind(self) -> Kind | None:
        """The interaction this event is, or None when it changes no customer feature."""
        return KIND_OF_NAME.get(self.name) if self.type == "track" else None

    @property
    def personalizes(self) -> bool:
        """Whether the customer allowed this event to shape features and recommendations."""
        return Purpose.PERSONALIZATION in self.consent


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """Return the event's bytes as they lie on the log (MessagePack, defaults omitted)."""
    return _encoder.encode(event)


def decode_event(data: bytes) -> Event:
    """Return the event; raises ValueError (mostly msgspec's) on bytes this version cannot read."""
    return _decoder.decode(data)


def stable_key(text: str) -> int:
    """A 63-bit number that stands for a text, the same on every machine and run."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
