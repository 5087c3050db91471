"""Our hand-written Redis layout is Feast's own: whoever writes, the other reads the same."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from nearline.clock import utc
from nearline.contracts.position import LogPosition
from nearline.feast_layout import (
    CUSTOMER_VIEW,
    ITEM_VIEW,
    PROJECT,
    ViewLayout,
    decode_value,
    encode_value,
)
from nearline.online import COMMIT_SCRIPT, commit_args, customer_fields, parse_customer, parse_item
from nearline.transforms import customer, item
from nearline.transforms.buckets import HOUR_US
from nearline.transforms.columns import Columns, ColumnType, Value, customer_columns, item_columns
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState
from tests.unit.features.test_offline_rows import NOON_US, seeded

pytestmark = [pytest.mark.redis, pytest.mark.slow]

IDS = ["ada", "客户-7", "é" * 40, "a b:c*?[x]", "42", "x" * 300]
STATES = [
    customer.EMPTY,
    customer.fold(seeded(1, 1)),
    customer.fold(seeded(2, 120)),
]


def commit(client: redis.Redis, layout: ViewLayout, name: str, row: Columns, at_us: int) -> bytes:
    args = commit_args(layout, row, at_us, LogPosition(2, 1_760_000_000_000, 3), 0)
    reply: Any = client.register_script(COMMIT_SCRIPT)(keys=[layout.key(name)], args=args)
    assert isinstance(reply, bytes)
    return reply


def feast_key(layout: ViewLayout, name: str) -> Any:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value as FeastValue

    return EntityKey(join_keys=[layout.join_key], entity_values=[FeastValue(string_val=name)])


def feast_value(value: Value, type_: ColumnType) -> Any:
    from feast.protos.feast.types.Value_pb2 import Int64List, StringList
    from feast.protos.feast.types.Value_pb2 import Value as FeastValue

    if type_ == "int":
        return FeastValue(int64_val=value)
    if type_ == "str":
        return FeastValue(string_val=value)
    if type_ == "ints":
        return FeastValue(int64_list_val=Int64List(val=value))
    return FeastValue(string_list_val=StringList(val=value))


def same(left: float | None, right: float) -> bool:
    """Equal bits, where Feast's None stands for NaN."""
    return math.isnan(right) if left is None else float(left).hex() == right.hex()


@pytest.mark.parametrize("layout", [CUSTOMER_VIEW, ITEM_VIEW], ids=lambda layout: layout.view)
@pytest.mark.parametrize("name", IDS)
def test_our_key_is_feasts_key(layout: ViewLayout, name: str) -> None:
    from feast.infra.online_stores.helpers import _redis_key

    assert layout.key(name) == _redis_key(PROJECT, feast_key(layout, name), 3)


@pytest.mark.parametrize("layout", [CUSTOMER_VIEW, ITEM_VIEW], ids=lambda layout: layout.view)
def test_our_fields_are_feasts_fields(store: Any, layout: ViewLayout) -> None:
    from feast.infra.online_stores.helpers import _mmh3, compute_versioned_name

    view = compute_versioned_name(store.get_feature_view(layout.view))

    assert view == layout.view
    assert layout.timestamp_field == f"_ts:{view}".encode()
    for name, field in layout.fields.items():
        assert field == _mmh3(f"{view}:{name}")
    assert len(set(layout.fields.values())) == len(layout.fields)


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (0, "int"),
        (-1, "int"),
        (2**63 - 1, "int"),
        ("", "str"),
        ("鞋 é", "str"),
        ([], "ints"),
        ([0, -5, 2**62], "ints"),
        ([], "strs"),
        (["", "灯", "a"], "strs"),
    ],
)
def test_our_bytes_of_a_value_are_feasts_bytes(value: Value, type_: ColumnType) -> None:
    data = encode_value(value, type_)

    assert data == feast_value(value, type_).SerializeToString()
    assert decode_value(data, type_) == value


@pytest.mark.parametrize("state", STATES, ids=["empty", "one event", "many events"])
@pytest.mark.parametrize("name", IDS)
def test_what_our_script_writes_the_feast_sdk_reads(
    store: Any, valkey: redis.Redis, name: str, state: CustomerState
) -> None:
    row = customer_columns(state)
    assert commit(valkey, CUSTOMER_VIEW, name, row, NOON_US) == b"applied"

    answer = store.get_online_features(
        features=[f"customer_activity:{column}" for column in CUSTOMER_VIEW.columns],
        entity_rows=[{"customer_id": name}],
    )

    read = {column: values[0] for column, values in answer.to_dict().items()}
    for column, value in row.items():
        # Feast shows an empty list as None; both read back as nothing.
        assert (read[column] or 0 if isinstance(value, int) else read[column] or []) == value
    assert answer.proto.results[1].event_timestamps[0].ToMicroseconds() == NOON_US


def test_the_facts_that_our_script_writes_the_feast_sdk_reads(
    store: Any, valkey: redis.Redis
) -> None:
    lamp = item.fold("lamp", seeded(2, 120))
    row = item_columns(lamp)
    assert row["facts"]
    commit(valkey, ITEM_VIEW, "lamp", row, NOON_US)
    plain = item_columns(item.fold("shoe", seeded(2, 3)))
    commit(valkey, ITEM_VIEW, "shoe", plain, NOON_US)
    valkey.hdel(
        ITEM_VIEW.key("shoe"), ITEM_VIEW.fields["facts"]
    )  # As written before there were any.

    answer = store.get_online_features(
        features=[f"item_activity:{column}" for column in ITEM_VIEW.columns],
        entity_rows=[{"item_id": name} for name in ("lamp", "shoe", "nobody")],
    ).to_dict()

    assert [answer[column][0] or [] for column in row] == [value or [] for value in row.values()]
    assert answer["facts"][1:] == [None, None]
    reply: Any = valkey.hmget(ITEM_VIEW.key("shoe"), ITEM_VIEW.read_fields)  # type: ignore[arg-type]
    assert parse_item(reply) == replace(item.fold("shoe", seeded(2, 3)), facts=())


def test_the_on_demand_views_finish_what_our_script_writes(store: Any, valkey: redis.Redis) -> None:
    from feature_repo.retrieval import online

    state, as_of_us = STATES[2], STATES[2].last_seen_us + HOUR_US
    commit(valkey, CUSTOMER_VIEW, "ada", customer_columns(state), NOON_US)
    lamp = item.fold("lamp", seeded(2, 120))
    commit(valkey, ITEM_VIEW, "lamp", item_columns(lamp), NOON_US)

    people = online(store, "customer_profile_v1", ["ada", "stranger"], as_of_us)
    things = online(store, "item_profile_v1", ["stranger", "lamp"], as_of_us)

    for frame, expected in (
        (people, [customer.finish(state, as_of_us), customer.finish(customer.EMPTY, as_of_us)]),
        (things, [item.finish(item.EMPTY, as_of_us), item.finish(lamp, as_of_us)]),
    ):
        for row, values in enumerate(expected):
            for feature, value in values.items():
                assert same(frame[feature][row], value), feature


def test_the_on_demand_views_also_answer_under_short_names(store: Any, valkey: redis.Redis) -> None:
    state = STATES[2]
    commit(valkey, CUSTOMER_VIEW, "ada", customer_columns(state), NOON_US)
    as_of_us = state.last_seen_us

    answer = store.get_online_features(
        features=["customer_features:views_7d", "customer_features:price_affinity_cents"],
        entity_rows=[{"customer_id": "ada", "as_of_us": as_of_us}],
    ).to_dict()

    expected = customer.finish(state, as_of_us)
    assert same(answer["views_7d"][0], expected["views_7d"])
    assert same(answer["price_affinity_cents"][0], expected["price_affinity_cents"])


@pytest.mark.parametrize("name", IDS)
def test_what_feast_writes_we_read(store: Any, valkey: redis.Redis, name: str) -> None:
    state = STATES[2]
    thing = item.fold("lamp", seeded(2, 120))
    at_us = NOON_US + 123_456

    for layout, row in (
        (CUSTOMER_VIEW, customer_columns(state)),
        (ITEM_VIEW, item_columns(thing)),
    ):
        values = {
            column: feast_value(row[column], type_) for column, type_ in layout.columns.items()
        }
        store._get_provider().online_write_batch(
            store.config,
            store.get_feature_view(layout.view),
            [(feast_key(layout, name), values, utc(at_us), datetime.now(UTC))],
            None,
        )

    people: Any = valkey.hmget(CUSTOMER_VIEW.key(name), customer_fields(0))  # type: ignore[arg-type]
    things: Any = valkey.hmget(ITEM_VIEW.key(name), ITEM_VIEW.read_fields)  # type: ignore[arg-type]
    reading = parse_customer(0, people)
    assert reading.state == state
    assert reading.known_at_us == at_us
    assert reading.position is None
    assert parse_item(things) == thing


def test_our_own_fields_and_foreign_ones_disturb_neither_reader(
    store: Any, valkey: redis.Redis
) -> None:
    from feature_repo.retrieval import online

    state, as_of_us = STATES[1], STATES[1].last_seen_us
    commit(valkey, CUSTOMER_VIEW, "ada", customer_columns(state), NOON_US)
    valkey.hset(CUSTOMER_VIEW.key("ada"), mapping={"_seq:3": "9-9", "else": b"\xff\x00", "x": 1})

    reply: Any = valkey.hmget(CUSTOMER_VIEW.key("ada"), customer_fields(2))  # type: ignore[arg-type]
    reading = parse_customer(2, reply)
    frame = online(store, "customer_profile_v1", ["ada"], as_of_us)

    assert reading.state == state
    assert reading.position == LogPosition(2, 1_760_000_000_000, 3)
    assert frame["views_total"][0] == state.views_total


def test_a_whole_row_is_the_same_bytes_whoever_writes_it(store: Any, valkey: redis.Redis) -> None:
    rng = random.Random(3)
    for number in range(20):
        state = customer.fold(seeded(rng.randrange(10_000), rng.randrange(60)))
        row = customer_columns(state)
        commit(valkey, CUSTOMER_VIEW, f"ours-{number}", row, NOON_US)
        values = {
            name: feast_value(row[name], type_) for name, type_ in CUSTOMER_VIEW.columns.items()
        }
        store._get_provider().online_write_batch(
            store.config,
            store.get_feature_view(CUSTOMER_VIEW.view),
            [(feast_key(CUSTOMER_VIEW, f"feasts-{number}"), values, utc(NOON_US), None)],
            None,
        )
        ours: Any = valkey.hgetall(CUSTOMER_VIEW.key(f"ours-{number}"))
        feasts: Any = valkey.hgetall(CUSTOMER_VIEW.key(f"feasts-{number}"))
        assert {k: v for k, v in ours.items() if k not in (b"_rev", b"_seq:2")} == feasts


def test_an_unknown_item_reads_as_a_stranger(valkey: redis.Redis) -> None:
    reply: Any = valkey.hmget(ITEM_VIEW.key("nobody"), ITEM_VIEW.read_fields)  # type: ignore[arg-type]

    assert parse_item(reply) == ItemState()
