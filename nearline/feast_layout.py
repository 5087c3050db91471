"""Feast's own Redis layout, written and read by hand.

One hash per entity; a feature's field is the murmur3 hash of `view:feature`, its value a
serialised `feast.types.Value`, and `_ts:<view>` a protobuf Timestamp. Beside them lie our
own fields, which Feast ignores: `_seq:<partition>` (the newest log sequence folded in) and
`_rev` (a revision that guards against two writers). Contract tests hold this module equal to
Feast's helpers in both directions; nothing here imports Feast, which takes seconds.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mmh3
from google.protobuf.timestamp_pb2 import Timestamp

from nearline.transforms.columns import (
    CUSTOMER_COLUMNS,
    ITEM_COLUMNS,
    Columns,
    ColumnType,
    Value,
)
from nearline.v1.feast_value_pb2 import FeatureValue

PROJECT = "nearline"
REVISION = b"_rev"
_STRING_TYPE = 2  # feast.types.ValueType.STRING


@dataclass(frozen=True, slots=True)
class ViewLayout:
    """Where the columns of one feature view lie in the hash of its entity."""

    view: str
    join_key: str
    columns: Mapping[str, ColumnType]
    fields: Mapping[str, bytes]  # column -> hash field
    timestamp_field: bytes

    @classmethod
    def of(cls, view: str, join_key: str, columns: Mapping[str, ColumnType]) -> ViewLayout:
        fields = {
            name: struct.pack("<I", mmh3.hash(f"{view}:{name}", signed=False)) for name in columns
        }
        return cls(view, join_key, columns, fields, f"_ts:{view}".encode())

    def key(self, entity_id: str) -> bytes:
        """The Redis key of one entity (serialisation version 3, one string join key)."""
        name, value = self.join_key.encode(), entity_id.encode()
        return b"".join(
            (
                struct.pack("<III", 1, _STRING_TYPE, len(name)),
                name,
                struct.pack("<II", _STRING_TYPE, len(value)),
                value,
                PROJECT.encode(),
            )
        )

    def encode(self, row: Columns, known_at_us: int) -> list[bytes]:
        """Field, value, field, value, ...: the row and its event timestamp."""
        stamp = Timestamp(
            seconds=known_at_us // 1_000_000, nanos=known_at_us % 1_000_000 * 1_000
        ).SerializeToString()
        flat = [self.timestamp_field, stamp]
        for name, type_ in self.columns.items():
            flat += (self.fields[name], encode_value(row[name], type_))
        return flat

    @property
    def read_fields(self) -> list[bytes]:
        """What to HMGET; `decode` takes the reply in this order."""
        return [self.timestamp_field, *self.fields.values()]

    def decode(self, reply: Sequence[bytes | None]) -> tuple[Columns, int] | None:
        """The row and its timestamp in microseconds; None where the entity has no row."""
        if reply[0] is None:
            return None
        row: Columns = {
            name: decode_value(data, type_)
            for (name, type_), data in zip(self.columns.items(), reply[1:], strict=True)
            if data is not None
        }
        stamp = Timestamp.FromString(reply[0])
        return row, stamp.seconds * 1_000_000 + stamp.nanos // 1_000


def sequence_field(partition: int) -> bytes:
    """The hash field that holds the newest sequence of a partition folded into the entity."""
    return b"_seq:%d" % partition


def encode_value(value: Value, type_: ColumnType) -> bytes:
    """A column's value as Feast's `Value` bytes."""
    message = FeatureValue()
    if type_ == "int":
        message.int64_val = value  # type: ignore[assignment]
    elif type_ == "str":
        message.string_val = value  # type: ignore[assignment]
    elif type_ == "ints":
        message.int64_list_val.val.extend(value)  # type: ignore[arg-type]
        message.int64_list_val.SetInParent()
    else:
        message.string_list_val.val.extend(value)  # type: ignore[arg-type]
        message.string_list_val.SetInParent()
    return message.SerializeToString()


def decode_value(data: bytes, type_: ColumnType) -> Value:
    """The reverse of `encode_value`."""
    message = FeatureValue.FromString(data)
    if type_ == "int":
        return message.int64_val
    if type_ == "str":
        return message.string_val
    if type_ == "ints":
        return list(message.int64_list_val.val)
    return list(message.string_list_val.val)


CUSTOMER_VIEW = ViewLayout.of("customer_activity", "customer_id", CUSTOMER_COLUMNS)
ITEM_VIEW = ViewLayout.of("item_activity", "item_id", ITEM_COLUMNS)
