"""The bench's floor: real processes and a real server, and nothing left behind."""

from __future__ import annotations

import grpc
import pytest
import redis

from nearline.bench import floor as floors
from nearline.contracts.answer import (
    Receipt,
    Recommendation,
    RecommendedItem,
    Scene,
    Versions,
)
from nearline.embedded.valkey import EmbeddedValkey
from nearline.v1 import recommend_pb2, recommend_pb2_grpc

pytestmark = pytest.mark.redis
ANSWER = Recommendation(
    response_id="r-1",
    scene=Scene.HOME,
    items=(RecommendedItem("i-1", 1, 0.5, ("popular",), ()),),
    rules=(),
    versions=Versions(bundle="3"),
    receipt=Receipt("0-1-0", 1, 0, None, 2.5),
)


def test_an_event_passes_the_floor_and_no_key_is_left(
    valkey: redis.Redis, valkey_server: EmbeddedValkey
) -> None:
    with floors.running(valkey_server.url, "run-1", ANSWER) as floor:
        floor.through(1)
        floor.accept(2)
        floors.batches(floor, count=2, events=10)
        assert floor.client.recommend("anybody") == ANSWER
        with grpc.insecure_channel(floor.grpc_address) as channel:
            stub = recommend_pb2_grpc.RecommendationsStub(channel)  # type: ignore[no-untyped-call]
            told = stub.Recommend(recommend_pb2.RecommendRequest(customer_id="c"), timeout=10.0)
        assert told.items[0].item_id == "i-1"
        assert all(0 < valkey.ttl(key) <= 3_600 for key in valkey.scan_iter("nl:bench:*"))

    assert list(valkey.scan_iter("nl:bench:*")) == []
