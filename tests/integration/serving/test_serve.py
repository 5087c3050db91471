"""The whole answering side: Ray Serve, Valkey, MLflow, HTTP and gRPC, as a user starts it.

The tests share one service with those of test_beginning.py and test_challenger.py, which run
before, and tell one story from top to bottom: it answers, loses its parts one by one, and stops.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from nearline import keys
from nearline.v1 import recommend_pb2 as pb
from nearline.v1 import recommend_pb2_grpc
from tests.same_answer import differences

pytestmark = [pytest.mark.ray, pytest.mark.redis, pytest.mark.usefixtures("champion")]

Until = Callable[..., None]


def test_http_and_grpc_give_the_same_answer_in_200_cases(
    service: Any, shoppers: dict[str, set[str]], tiny: Any
) -> None:
    stub = recommend_pb2_grpc.RecommendationsStub(service.channel)
    generator = random.Random(5)
    for _ in range(200):
        question = {
            "customer_id": generator.choice([*shoppers, "a stranger", "陌生人/1"]),
            "scene": generator.choice(["home", "detail", "cart", "after_purchase", "marketing"]),
            "k": generator.randint(1, 100),
            "exclude_item_ids": [tiny.item_id(generator.randrange(90)) for _ in range(3)],
            "as_of_us": tiny.NOW_US + generator.randrange(10**12),
        }
        over_http = service.http.post("/v1/recommend", json=question).json()
        over_grpc = stub.Recommend(pb.RecommendRequest(**question))

        assert differences(over_http | {"response_id": over_grpc.response_id}, over_grpc) == []
        assert over_grpc.degraded == []


def test_churn_and_tags_agree_over_http_and_grpc(
    service: Any, shoppers: dict[str, set[str]], tiny: Any
) -> None:
    stub = recommend_pb2_grpc.RecommendationsStub(service.channel)
    at, tagged = {"as_of_us": tiny.NOW_US}, 0
    for name in list(shoppers)[:5]:
        churn = service.http.get(f"/v1/churn/{name}", params=at).json()
        over_grpc = stub.Churn(pb.ChurnRequest(customer_id=name, **at))
        assert differences(churn | {"response_id": over_grpc.response_id}, over_grpc) == []
        assert len(churn["scores"]) == 2
        tags = service.http.get(f"/v1/tags/{name}", params=at).json()
        assert differences(tags, stub.Tags(pb.TagsRequest(customer_id=name, **at))) == []
        tagged += len(tags["tags"])
    assert tagged


def test_what_a_customer_has_bought_is_never_recommended(
    service: Any, shoppers: dict[str, set[str]]
) -> None:
    for name, bought in shoppers.items():
        answer = service.recommend(name, k=100)
        shown = {one["item_id"] for one in answer["items"]}
        assert answer["degraded"] == []
        assert shown
        assert not shown & bought
        assert answer["receipt"]["log_position"]


def test_random_frames_are_refused_and_never_internal(service: Any) -> None:
    generator = random.Random(9)
    calls = [
        service.channel.unary_unary(f"/nearline.v1.Recommendations/{name}")
        for name in ("Recommend", "Churn", "Tags")
    ] + [service.channel.unary_unary("/grpc.health.v1.Health/Check")]
    codes = set()
    for number in range(200):
        frame = generator.randbytes(generator.randint(0, 80))
        try:
            calls[number % len(calls)](frame)
        except grpc.RpcError as error:
            codes.add(error.code())

    assert grpc.StatusCode.INVALID_ARGUMENT in codes
    assert codes <= {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}


def test_a_malformed_frame_is_told_what_it_is(service: Any) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        service.channel.unary_unary("/nearline.v1.Recommendations/Recommend")(b"\xff\xff\xff")

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "nearline.v1.RecommendRequest" in refused.value.details()


def test_grpc_has_health_and_reflection(service: Any) -> None:
    health = health_pb2_grpc.HealthStub(service.channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    request = health_pb2.HealthCheckRequest(service="nearline.v1.Recommendations")
    assert health.Check(request).status == serving
    watching = health.Watch(request)
    assert next(watching).status == serving
    watching.cancel()

    reflection = reflection_pb2_grpc.ServerReflectionStub(service.channel)
    asked = reflection_pb2.ServerReflectionRequest
    services, file = reflection.ServerReflectionInfo(
        iter(
            [
                asked(list_services=""),
                asked(file_containing_symbol="nearline.v1.Recommendations"),
            ]
        )
    )
    names = {one.name for one in services.list_services_response.service}
    assert {"nearline.v1.Recommendations", "grpc.health.v1.Health"} <= names
    assert file.file_descriptor_response.file_descriptor_proto


def test_only_loopback_can_ask(service: Any) -> None:
    ours = {service.http_port: set(), service.grpc_port: set()}
    for process in service.processes():
        for connection in process.net_connections():
            if connection.status == "LISTEN" and connection.laddr.port in ours:
                ours[connection.laddr.port].add(connection.laddr.ip.removeprefix("::ffff:"))

    assert set(map(frozenset, ours.values())) == {frozenset({"127.0.0.1"})}


def test_training_libraries_are_not_even_loaded(service: Any) -> None:
    for name in ("Gateway", "Retrieval", "Ranking", "Churn", "BundleWatch"):
        maps = Path(f"/proc/{service.replica(name).pid}/maps").read_text()
        for library in ("/pandas/", "/sklearn/", "/torch/"):
            assert library not in maps


@pytest.mark.slow
def test_the_api_document_holds_against_a_machine_that_tries_to_break_it(service: Any) -> None:
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            *("run", f"http://127.0.0.1:{service.http_port}/openapi.json"),
            *("--seed", "1", "--max-examples", "60", "--request-timeout", "30"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=service.home,
    )

    assert done.returncode == 0, done.stdout[-3_000:]


def test_what_was_shown_lands_on_the_log(service: Any, wait_until: Until) -> None:
    answer = service.recommend("somebody", k=3, scene="detail")

    wait_until(lambda: answer["response_id"] in service.exposures())

    event = service.exposures()[answer["response_id"]]
    assert event.customer_id == "somebody"
    assert [line.item_id for line in event.lines] == [one["item_id"] for one in answer["items"]]
    assert not event.personalizes


def test_without_redis_strangers_answers_come_at_once_and_exposures_are_kept(
    service: Any, shoppers: dict[str, set[str]], wait_until: Until
) -> None:
    service.valkey.stop()
    try:
        answer = service.recommend("shopper-1")
        assert len(answer["items"]) == 10
        assert "features_unavailable" in answer["degraded"]
        churn = service.http.get("/v1/churn/shopper-1").json()
        assert churn["degraded"] == ["features_unavailable", "churn_unavailable"]
        wait_until(lambda: "exposures_delayed" in service.recommend("shopper-1")["degraded"])
    finally:
        service.valkey.start()

    wait_until(lambda: service.recommend("shopper-1")["degraded"] == [])
    wait_until(lambda: answer["response_id"] in service.exposures())


def test_without_the_ranker_retrieval_answers_until_it_is_back(
    service: Any, wait_until: Until
) -> None:
    service.replica("Ranking").kill()

    seen: list[list[str]] = []

    def degraded_then_well() -> bool:
        seen.append(service.recommend("shopper-2")["degraded"])
        return ["ranker_unavailable"] in seen and seen[-1] == []

    wait_until(degraded_then_well, 120)

    assert all(one in ([], ["ranker_unavailable"]) for one in seen)


def test_without_retrieval_the_gateway_answers_until_it_is_back(
    service: Any, wait_until: Until
) -> None:
    service.redis.set(keys.FALLBACK_POPULAR, json.dumps([["spare", "c", 100]]))
    service.replica("Retrieval").kill()

    seen: list[tuple[str, list[str]]] = []

    def degraded_then_well() -> bool:
        answer = service.recommend("shopper-3")
        seen.append((answer["items"][0]["item_id"], answer["degraded"]))
        return ("spare", ["bundle_unavailable"]) in seen and seen[-1][1] == []

    wait_until(degraded_then_well, 120)


def test_a_swap_loses_no_request_and_mixes_no_bundles(service: Any, wait_until: Until) -> None:
    old = service.health()["bundle"]
    new = service.publish(2)
    answers: list[dict[str, Any]] = []

    def swapped() -> bool:
        answers.append(service.recommend("shopper-4"))
        return bool(answers[-1]["versions"]["bundle"] == new)

    wait_until(swapped)

    versions = [answer["versions"]["bundle"] for answer in answers]
    assert set(versions) <= {old, new}
    assert versions == sorted(versions, key=[old, new].index)
    assert all(answer["degraded"] == [] for answer in answers)


def test_a_tampered_champion_is_refused_and_the_old_one_stays(
    service: Any, wait_until: Until
) -> None:
    old = service.health()["bundle"]

    bad = service.publish(3, "tamper")
    wait_until(lambda: f"bundle {bad}" in service.health()["bundle_refused"])

    assert "changed after it was sealed" in service.health()["bundle_refused"]
    answer = service.recommend("shopper-5")
    assert (answer["versions"]["bundle"], answer["degraded"]) == (old, [])


def test_it_logs_no_customer(service: Any) -> None:
    logs = list((service.home / "logs" / "serve").iterdir())

    assert logs
    for log in [*logs, service.output]:
        assert "shopper-" not in log.read_text(errors="replace")


def test_it_stops_cleanly_and_leaves_no_process(service: Any, wait_until: Until) -> None:
    service.process.terminate()

    assert service.process.wait(60) == 0
    wait_until(lambda: service.processes() == [], 10)
