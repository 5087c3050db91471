"""What a ranker saw: one record for each answer kept, exact enough to compute it all again.

Beside the rows it names what they are made of: the newest event of the customer, and of every
item in every partition, that the store had folded in when it was read. So a recomputation needs
no guess about what was still under way.
"""

from __future__ import annotations

import zlib

import msgspec
import numpy as np
import numpy.typing as npt

from nearline.contracts.bundle import features_hash
from nearline.contracts.event import stable_key
from nearline.errors import PermanentError
from nearline.transforms.customer import CUSTOMER_FEATURES
from nearline.transforms.item import ITEM_FEATURES
from nearline.transforms.ranking import RANKER_FEATURES

# Axes: C candidates, F ranker features.
FloatCF = npt.NDArray[np.float32]

# Of the lists that this code computes; rows under another hash have other columns.
FEATURES_HASH = features_hash(list(CUSTOMER_FEATURES), list(ITEM_FEATURES), list(RANKER_FEATURES))
FIELD = b"v"  # of a stream entry: the encoded record.
_LITTLE_ENDIAN = np.dtype("<f4")


class Served(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer's input to the ranker. Personal data: it names a customer.

    `item_ids`, `categories` and `item_positions` are in step with the rows. Positions are log
    tokens (`partition-ms-counter`): up to there, and no further, each row held its entity's events
    of that partition; a partition that is not named had none in it.
    """

    response_id: str
    customer_id: str
    as_of_us: int  # the windows end here
    bundle: str
    features_hash: str
    customer_position: str = ""
    excluded: tuple[str, ...] = ()  # what the caller asked to leave out
    item_ids: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()  # as the bundle knew them
    item_positions: tuple[tuple[str, ...], ...] = ()
    rows: bytes = b""  # C x F float32, little-endian, row by row

    def matrix(self) -> FloatCF:
        """The rows, (C, F); raises ValueError when they have another shape than their ids."""
        flat = np.frombuffer(self.rows, _LITTLE_ENDIAN).astype(np.float32)
        return flat.reshape(len(self.item_ids), len(RANKER_FEATURES))


def rows_as_bytes(rows_CF: FloatCF) -> bytes:
    """The bytes of a matrix as `Served.rows` keeps them, every bit of every NaN included."""
    return np.ascontiguousarray(rows_CF, _LITTLE_ENDIAN).tobytes()


def is_sampled(response_id: str, share: float) -> bool:
    """Whether an answer is kept: by a hash of its id, so that everybody decides alike."""
    return stable_key(response_id) < share * 2.0**63


def checked_share(share: float) -> float:
    """The share, if it is one; raises PermanentError otherwise."""
    if not 0.0 <= share <= 1.0:
        raise PermanentError(
            f"NEARLINE_SERVED_SAMPLE={share} is not a share: expected 0 (keep no feature "
            "vectors) to 1 (keep those of every answer), such as 0.01"
        )
    return share


def encode(record: Served) -> bytes:
    """The record's bytes on its stream: MessagePack, deflated (rows repeat the customer)."""
    return zlib.compress(msgspec.msgpack.encode(record), 1)


def decode(data: bytes) -> Served:
    """The reverse of `encode`; raises ValueError on bytes that this version cannot read."""
    try:
        return _decoder.decode(zlib.decompress(data))
    except zlib.error as error:
        raise ValueError(f"not a served record: {error}") from None


_decoder = msgspec.msgpack.Decoder(Served)
