"""The whole answering side: Ray Serve, Valkey, MLflow, HTTP and gRPC, as a user starts it.

The tests share one service with those of test_beginning.py, test_challenger.py and
test_promotions.py, which run before, and tell one story from top to bottom: it answers, loses
its parts one by one, and stops.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from nearline.contracts.position import partition_of
from nearline.v1 import recommend_pb2 as pb
from nearline.v1 import recommend_pb2_grpc
from serving import problems
from serving.limits import MAX_BODY_BYTES
from serving.policy.load import shipped
from tests.integration.serving.conftest import PARTITIONS, happen
from tests.integration.serving.recompose import Recomposer
from tests.same_answer import differences

pytestmark = [pytest.mark.ray, pytest.mark.redis, pytest.mark.usefixtures("champion")]

Until = Callable[..., None]


@pytest.fixture(scope="module")
def again(service: Any, shoppers: dict[str, set[str]], tiny: Any, tmp_path_factory: Any) -> Any:
    """What the champion must answer."""
    version = service.health()["bundle"]
    folder = tiny.write(tmp_path_factory.mktemp("again") / version, seed=service.seeds[version])
    return Recomposer(service.valkey.url, PARTITIONS, shoppers, {version: folder})


def question(generator: random.Random, tiny: Any, shoppers: Iterable[str]) -> dict[str, Any]:
    """A question to any scene, with any of what may be asked."""
    scene = generator.choice(sorted(shipped().scenes))
    anchors = [tiny.item_id(generator.randrange(90)) for _ in range(generator.randint(1, 3))]
    needs = shipped().scenes[scene].needs
    optional: dict[str, Any] = {
        "k": generator.randint(1, 100),
        "exclude_item_ids": [tiny.item_id(generator.randrange(90)) for _ in range(3)],
        "item_ids": anchors,
        "category": generator.choice(["c1", "c5", "nothing has it"]),
        "channel": generator.choice(["push", "email", "fax"]),
        "age_years": generator.choice([0, 12, 40]),
        "personalization": generator.choice(["on", "off"]),
        "explain": generator.random() < 0.5,
        "max_wait_ms": 0,
    }
    asked = {name: one for name, one in optional.items() if generator.random() < 0.5}
    needed = {"items": {"item_ids": anchors}, "category": {"category": "c2"}}.get(needs, {})
    return {
        "customer_id": generator.choice([*shoppers, "a stranger", "陌生人/1"]),
        "scene": scene,
        "as_of_us": tiny.NOW_US + generator.randrange(10**12),
        **asked,
        **needed,
    }


def test_http_and_grpc_give_what_the_stores_and_the_bundle_say_in_200_cases(
    service: Any, again: Recomposer, shoppers: dict[str, set[str]], tiny: Any
) -> None:
    """Each answer again in this process: HTTP to the byte, gRPC field by field."""
    stub = recommend_pb2_grpc.RecommendationsStub(service.channel)
    generator, explored, listed = random.Random(5), 0, 0
    for _ in range(200):
        asked = question(generator, tiny, shoppers)
        over_http = service.http.post("/v1/recommend", json=asked)
        over_grpc = stub.Recommend(pb.RecommendRequest(**asked))

        shown = over_http.json()
        assert over_http.content == again.bytes_of(asked, shown), asked
        # Chance comes from the id, so the list of another answer explores other places.
        likewise = shown | {"response_id": over_grpc.response_id}
        expected = json.loads(again.bytes_of(asked, likewise))
        assert differences(expected, over_grpc) == [], asked
        assert shown["degraded"] in ([], ["nothing_to_recommend"])
        listed += bool(shown["items"])
        explored += any(item["propensity"] < 1 for item in shown["items"])
    assert listed > 190  # Else the comparison said less than it seems to.
    assert explored > 5  # Chance is of the response ids, so how many is too.


def test_ones_own_event_is_in_the_answer_that_names_its_token_over_both_doors(
    service: Any, shoppers: dict[str, set[str]], tiny: Any
) -> None:
    stub = recommend_pb2_grpc.RecommendationsStub(service.channel)
    position = service.recommend("shopper-9")["receipt"]["log_position"]
    assert position
    seen = {"customer_id": "shopper-9", "min_position": position, "max_wait_ms": 0}
    partition, ms, counter = position.split("-")
    unseen = seen | {"min_position": f"{partition}-{int(ms) + 10**9}-{counter}"}
    foreign = seen | {"min_position": f"{(int(partition) + 1) % PARTITIONS}-{ms}-{counter}"}

    assert service.recommend(**seen)["degraded"] == []
    assert list(stub.Recommend(pb.RecommendRequest(**seen)).degraded) == []
    # An event that changes no row is not waited for either.
    (told_of,) = happen(service, [tiny.event(9_001, "shopper-9", "identify", [], 1)])
    seen["min_position"] = str(told_of)
    known = service.recommend(**seen)
    assert (known["degraded"], known["receipt"]["log_position"]) == ([], str(told_of))

    assert service.recommend(**unseen)["degraded"] == ["stale"]
    assert list(stub.Recommend(pb.RecommendRequest(**unseen)).degraded) == ["stale"]
    owner = partition_of("nobody yet", PARTITIONS)
    strange = {"customer_id": "nobody yet", "min_position": f"{owner + 1}-{ms}-{counter}"}
    for question in (foreign, strange):
        refused = service.http.post("/v1/recommend", json=question)
        assert (refused.status_code, "min_position" in refused.text) == (422, True)
    with pytest.raises(grpc.RpcError) as told:
        stub.Recommend(pb.RecommendRequest(**foreign))
    assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_channels_cap_counts_over_all_replicas_and_both_doors(
    service: Any, shoppers: dict[str, set[str]]
) -> None:
    """Two pushes a day, as shipped; ten are asked for at once."""
    stub = recommend_pb2_grpc.RecommendationsStub(service.channel)
    asked = {"customer_id": "shopper-10", "scene": "push"}
    with ThreadPoolExecutor(10) as pool:
        over_http = pool.map(lambda _: service.recommend(**asked)["items"], range(5))
        over_grpc = pool.map(lambda _: stub.Recommend(pb.RecommendRequest(**asked)).items, range(5))
        sizes = sorted(len(items) for items in (*over_http, *over_grpc))

    assert sizes == [0] * 8 + [3, 3]


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


def test_only_haproxys_doors_are_where_the_host_says(service: Any) -> None:
    """Its own pages, each replica's ports and Ray's own servers are on loopback, as it is asked."""
    proxies = service.called("haproxy")
    doors = {(service.host, service.http_port), (service.host, service.grpc_port)}
    pages = service.listening(proxies) - doors
    assert len(pages) == 2  # Of metrics, and of statistics.

    for name, at_least in (("gcs_server", 1), ("raylet", 2)):
        (core,) = service.called(name)
        assert len(service.listening([core])) >= at_least
    for replica in service.replicas("Gateway"):
        # HTTP, gRPC, Ray's worker, and what deployments ask each other by.
        assert len(service.listening([replica])) == 4
    others = service.listening(service.processes()) - doors
    assert {address for address, _ in others} == {"127.0.0.1"}


def test_the_door_reads_15_kb_of_address_and_headers_and_a_body_up_to_its_limit(
    service: Any,
) -> None:
    """As docs/clients.md says; the page of HTML is built into HAProxy, and asks for no problem."""

    def ask(characters: int) -> httpx.Response:
        answer: httpx.Response = service.http.get(f"/v1/tags/{'a' * characters}")
        return answer

    read, refused = ask(15_000), ask(16_000)
    large = service.http.post("/v1/recommend", content=b" " * (MAX_BODY_BYTES + 1))

    assert (read.status_code, read.headers["content-type"]) == (422, problems.MEDIA_TYPE)
    assert (refused.status_code, refused.headers["content-type"]) == (400, "text/html")
    assert (large.status_code, large.headers["content-type"]) == (413, problems.MEDIA_TYPE)


def test_training_libraries_are_not_even_loaded(service: Any) -> None:
    replicas = service.replicas("Gateway")
    assert len(replicas) == 2
    for replica in (*replicas, service.replica("BundleWatch")):
        maps = Path(f"/proc/{replica.pid}/maps").read_text()
        for library in ("/pandas/", "/sklearn/", "/torch/"):
            assert library not in maps


def test_any_replicas_page_of_metrics_tells_of_all(service: Any) -> None:
    def counted() -> float:
        page = service.http.get("/metrics").text
        series = 'nearline_recommend_latency_ms_count{bundle_role="champion"}'
        return sum(float(line.split()[-1]) for line in page.splitlines() if series in line)

    before = counted()
    for _ in range(40):
        service.recommend("shopper-11")

    assert {counted() for _ in range(10)} == {before + 40}
    page = service.http.get("/metrics").text
    assert "nearline_rule_violations_total{" not in page
    assert "shopper" not in page


# Which scenes there are, and what each needs, only the shop's own files say.
TRIAL = """
[[operations]]
include-path = "/v1/recommend"

[operations.checks]
positive_data_acceptance.enabled = false
"""


@pytest.mark.slow
def test_the_api_document_holds_against_a_machine_that_tries_to_break_it(service: Any) -> None:
    (service.home / "schemathesis.toml").write_text(TRIAL)
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            *("run", f"http://{service.host}:{service.http_port}/openapi.json"),
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
    answer = service.recommend("somebody", k=3, scene="detail", item_ids=["i3"])

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

    service.everywhere(lambda health: health["redis"] and not health["exposures_waiting"])
    wait_until(lambda: service.recommend("shopper-1")["degraded"] == [])
    wait_until(lambda: answer["response_id"] in service.exposures())


def test_a_replica_that_is_killed_costs_nobody_an_answer(service: Any, wait_until: Until) -> None:
    """HAProxy asks another: a question changes nothing that a second asking would double."""
    killed, before = service.replica("Gateway"), len(service.replicas("Gateway"))
    seen: list[tuple[str, tuple[str, ...], int]] = []
    broken: list[httpx.TransportError] = []

    def asked() -> int:
        try:
            answer = service.recommend("shopper-2")
        except (httpx.RemoteProtocolError, httpx.ReadError) as error:
            # The one answer that was being sent: HAProxy cannot take its headers back, so the
            # caller asks again, as our client does (tests/integration/client/test_broken_off.py).
            broken.append(error)
            answer = service.recommend("shopper-2")
        seen.append((answer["versions"]["bundle"], tuple(answer["degraded"]), len(answer["items"])))
        return len(seen)

    with ThreadPoolExecutor(4) as pool:
        going = [pool.submit(lambda: [asked() for _ in range(150)]) for _ in range(4)]
        wait_until(lambda: len(seen) > 100)
        killed.kill()
        for one in going:
            one.result()

    def back() -> bool:
        asked()
        return len(service.replicas("Gateway")) == before

    wait_until(back, 120)
    assert killed.pid not in {one.pid for one in service.replicas("Gateway")}
    assert set(seen) == {(service.health()["bundle"], (), 10)}
    assert len(broken) <= 1  # A replica sends one answer at a time. Measured: 1 in 6 kills.


def test_it_logs_lines_of_json_and_no_customer(service: Any) -> None:
    logs = list((service.home / "logs" / "serve").iterdir())
    ours = [log for log in logs if log.suffix == ".jsonl"]

    assert {log.name.partition("-")[0] for log in ours} == {"serve", "watch"}
    for log in logs:  # Ray's own too.
        lines = list(map(json.loads, log.read_text().splitlines()))
        if log.name.startswith("watch-"):
            assert any("answers now" in line["message"] for line in lines)
    for log in [*logs, service.output]:
        assert "shopper-" not in log.read_text(errors="replace")


def test_it_stops_cleanly_and_leaves_no_process(service: Any, wait_until: Until) -> None:
    service.process.terminate()

    assert service.process.wait(60) == 0
    wait_until(lambda: service.processes() == [], 10)
