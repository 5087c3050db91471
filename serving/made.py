"""How an answer was made: the few values by which it can be made again, to the byte.

They travel in the exposure, so they lie on the log and in history like everything that happened.
"""

from __future__ import annotations

import hashlib

import msgspec

from nearline.contracts.answer import Chosen, Degradation, Recommendation, RecommendQuery
from serving.composing import Composed, Inputs

FIELD = "made"  # of an exposure's payload


class Made(msgspec.Struct, frozen=True, omit_defaults=True):
    """The inputs of `serving.composing.compose`, by name where they are large.

    Chance comes from the response id, the instant is the exposure's own. An empty
    `item_positions` means that the items' states were not loaded, or not yet exact: then `exact`
    is False. `popular` is the digest of the list that answers without a bundle. `digest` is of
    the answer's bytes.
    """

    query: RecommendQuery
    policy: str
    digest: str
    bundle: str = ""
    role: Chosen | None = None
    customer_position: str = ""
    item_positions: tuple[str, ...] = ()
    exact: bool = True
    popular: str = ""
    missing: tuple[Degradation, ...] = ()
    without: tuple[Degradation, ...] = ()
    capped: bool = False


def made_of(inputs: Inputs, composed: Composed, popular: str = "") -> Made:
    """What must be kept of an answer."""
    position, table = inputs.reading.position, inputs.table
    return Made(
        query=inputs.query,
        policy=inputs.policy.version,
        digest=digest_of(composed.answer),
        bundle=composed.answer.versions.bundle,
        role=inputs.role,
        customer_position=str(position) if position else "",
        item_positions=composed.answer.receipt.item_positions,
        exact=table is None or table.exact,
        popular=popular,
        missing=inputs.missing,
        without=(*composed.found.failed, *composed.scored.failed),
        capped=inputs.capped,
    )


def bytes_of(answer: Recommendation) -> bytes:
    """The answer as it goes over HTTP."""
    return msgspec.json.encode(answer)


def digest_of(answer: Recommendation) -> str:
    """32 hexadecimal digits of an answer's bytes."""
    return hashlib.blake2b(bytes_of(answer), digest_size=16).hexdigest()
