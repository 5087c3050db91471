"""How an answer was made: the few values by which it can be made again, to the byte.

They travel in the exposure, so they lie on the log and in history like everything that happened.
"""

from __future__ import annotations

import hashlib

import msgspec

from nearline.contracts.answer import Chosen, Degradation, Recommendation, RecommendQuery
from nearline.contracts.event import Event
from serving.composing import Composed, Inputs

FIELD = "made"  # of an exposure's payload


class Made(msgspec.Struct, frozen=True, omit_defaults=True):
    """The inputs of `serving.composing.compose`, by name where they are large.

    Chance comes from the response id, the instant is the exposure's own. An empty
    `item_positions` means that the items' states were not loaded, or not yet exact: then `exact`
    is False. `stranger` is whether nothing of the customer was read, or there was nothing.
    `popular` is the digest of the list that answers without a bundle. `digest` is of the answer's
    bytes.
    """

    query: RecommendQuery
    policy: str
    digest: str
    bundle: str = ""
    role: Chosen | None = None
    stranger: bool = False
    customer_position: str = ""
    item_positions: tuple[str, ...] = ()
    exact: bool = True
    popular: str = ""
    missing: tuple[Degradation, ...] = ()
    without: tuple[Degradation, ...] = ()
    capped: bool = False


def made_of(inputs: Inputs, composed: Composed, popular: str = "") -> Made:
    """What must be kept of an answer."""
    position, items = inputs.reading.position, composed.answer.receipt.item_positions
    return Made(
        query=inputs.query,
        policy=inputs.policy.version,
        digest=digest_of(composed.answer),
        bundle=composed.answer.versions.bundle,
        role=inputs.role,
        stranger=not inputs.reading.known_at_us,
        customer_position=str(position) if position else "",
        item_positions=items,
        exact=inputs.table is None or bool(items),  # The table itself may have moved on.
        popular=popular,
        missing=inputs.missing,
        without=composed.failed,
        capped=inputs.capped,
    )


class _Payload(msgspec.Struct):
    made: Made | None = msgspec.field(default=None, name=FIELD)


def made_in(exposure: Event) -> Made | None:
    """How the answer was made that an exposure tells of; None where its version kept too little."""
    return msgspec.json.decode(exposure.payload, type=_Payload).made


def bytes_of(answer: Recommendation) -> bytes:
    """The answer as it goes over HTTP."""
    return msgspec.json.encode(answer)


def digest_of(answer: Recommendation) -> str:
    """32 hexadecimal digits of an answer's bytes."""
    return hashlib.blake2b(bytes_of(answer), digest_size=16).hexdigest()
