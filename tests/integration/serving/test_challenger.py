"""A challenger beside the champion, in the service that a user starts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nearline.v1 import recommend_pb2 as pb
from nearline.v1 import recommend_pb2_grpc

pytestmark = [pytest.mark.ray, pytest.mark.redis, pytest.mark.usefixtures("champion", "shoppers")]

Until = Callable[..., None]


def test_a_brought_ranker_answers_as_challenger_beside_the_champion(
    service: Any, wait_until: Until
) -> None:
    champion = service.health()["bundle"]
    assert service.recommend("shopper-6", bundle="challenger")["degraded"] == [
        "challenger_unavailable"
    ]

    challenger = service.publish(4, "challenger")
    service.everywhere(lambda health: health["challenger"] == challenger)

    asked = service.recommend("shopper-6", bundle="challenger")
    plain = service.recommend("shopper-6")
    assert (asked["versions"]["bundle"], asked["degraded"]) == (challenger, [])
    assert (plain["versions"]["bundle"], plain["degraded"]) == (champion, [])
    stub = recommend_pb2_grpc.RecommendationsStub(service.channel)
    over_grpc = stub.Recommend(
        pb.RecommendRequest(customer_id="shopper-6", bundle="challenger", as_of_us=1)
    )
    assert over_grpc.versions.bundle == challenger
    wait_until(lambda: asked["response_id"] in service.exposures())
    shown = json.loads(service.exposures()[asked["response_id"]].payload or "{}")
    assert shown["bundle"] == challenger
    page = service.http.get("/metrics").text
    assert 'nearline_recommend_latency_ms_count{bundle_role="challenger"} 2.0' in page
    for replica in service.replicas("Gateway"):
        maps = Path(f"/proc/{replica.pid}/maps").read_text()
        for library in ("/pandas/", "/sklearn/", "/torch/"):  # LightGBM would like two of them.
            assert library not in maps


def test_a_refused_challenger_never_hurts_the_champion(service: Any) -> None:
    champion = service.health()["bundle"]

    bad = service.publish(5, "challenger", "tamper")
    service.everywhere(lambda health: f"bundle {bad}" in health["challenger_refused"])

    answer = service.recommend("shopper-7", bundle="challenger")
    assert answer["versions"]["bundle"] == champion
    assert answer["degraded"] == ["challenger_unavailable"]
    assert service.health()["challenger"] == ""


def test_without_its_alias_the_challenger_stops(service: Any) -> None:
    challenger = service.publish(6, "challenger")
    service.everywhere(lambda health: health["challenger"] == challenger)

    service.publish(0, "withdraw")
    service.everywhere(lambda health: health["challenger"] == "")

    answer = service.recommend("shopper-8", bundle="challenger")
    assert answer["versions"]["bundle"] == service.health()["bundle"]
