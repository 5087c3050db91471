"""HTTP and gRPC open to the same answers and refuse in their own tongue."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc
import httpx
import msgspec
import pytest
from fastapi import FastAPI
from grpc_health.v1 import health_pb2

from nearline.contracts.answer import (
    MAX_ANCHORS,
    ChurnAnswer,
    Recommendation,
    RecommendQuery,
    Scene,
    ScoresAnswer,
    TagsAnswer,
)
from nearline.v1 import recommend_pb2 as pb
from serving import examples, grpc_api, problems, wire
from serving.grpc_api import GrpcApi
from serving.health import Health
from serving.http_api import build
from serving.limits import MAX_BODY_BYTES
from serving.metrics import MeasuredAnswers, Metrics
from serving.requests import MAX_EXCLUDED, MAX_IDS_BYTES
from serving.watch import WatchState
from tests.same_answer import differences

ANNS = "ann's secret"


class Context:
    """What Ray's gRPC context does here: remembers."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None
        self.details = ""

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return []


@pytest.fixture
def shopped(world: Any, tiny: Any) -> Any:
    world.features.fold([tiny.event(n, "ann", "view_item", [n], 60 - n) for n in range(1, 9)])
    world.features.fold([tiny.event(9, "ann", "purchase", [9], 5)])
    return world


@pytest.fixture
def metrics(shopped: Any) -> Metrics:
    return Metrics(shopped.exposures)


@pytest.fixture
def app(shopped: Any, metrics: Metrics) -> FastAPI:
    async def health() -> Health:
        return Health.of(WatchState(), redis=True, items=True, exposures_waiting=0)

    return build(MeasuredAnswers(shopped.answering, metrics), health, metrics)


def call(
    app: FastAPI, method: str, path: str, *, raises: bool = False, **more: Any
) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=raises)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.request(method, path, **more)

    return asyncio.run(once())


def test_get_post_and_grpc_give_the_same_answer(app: FastAPI, shopped: Any, tiny: Any) -> None:
    question = {
        "customer_id": "ann",
        "k": 7,
        "as_of_us": tiny.NOW_US,
        "scene": "cart",
        "item_ids": ["i20"],
    }
    by_get = call(app, "GET", "/v1/recommend", params=question).json()
    by_post = call(app, "POST", "/v1/recommend", json=question).json()
    message = asyncio.run(
        GrpcApi(shopped.answering).recommend(
            pb.RecommendRequest(**question).SerializeToString(), Context()
        )
    )
    for answer in (by_get, by_post):
        answer["response_id"] = message.response_id

    assert by_get == by_post
    assert by_get["items"]
    assert differences(by_get, message) == []


@pytest.mark.parametrize("reasons", [True, False])
def test_get_post_and_grpc_tell_the_same_scores(
    app: FastAPI, shopped: Any, tiny: Any, reasons: bool
) -> None:
    asked = {
        "tasks": ["churn", "category_demand"],
        "categories": ["c1", "c3"],
        "reasons": reasons,
        "as_of_us": tiny.NOW_US,
    }
    two = {"customer_ids": ["nobody", "ann"], **asked}
    api = GrpcApi(shopped.answering)
    by_get = call(app, "GET", "/v1/scores/ann", params=asked).json()
    by_post = call(app, "POST", "/v1/scores", json=two).json()
    one = asyncio.run(
        api.scores(pb.ScoresRequest(customer_id="ann", **asked).SerializeToString(), Context())
    )
    both = asyncio.run(
        api.scores_batch(pb.ScoresBatchRequest(**two).SerializeToString(), Context())
    )
    assert len({by_get["response_id"], *(said["response_id"] for said in by_post["answers"])}) == 3
    for said, told in zip([by_get, *by_post["answers"]], [one, *both.answers], strict=True):
        told.response_id = said["response_id"]

    assert by_get | {"response_id": ""} == by_post["answers"][1] | {"response_id": ""}
    assert {score["category"] for score in by_get["scores"]} == {"", "c1", "c3"}
    assert by_get["value"]["expected_purchases"] > 0
    assert all(bool(score["reasons"]) == reasons for score in by_get["scores"])
    assert differences(by_get, one) == []
    assert differences(by_post, both) == []


@pytest.mark.parametrize(
    ("example", "kind", "translate"),
    [
        (examples.RECOMMENDATION, Recommendation, wire.recommendation),
        (examples.CHURN, ChurnAnswer, wire.churn),
        (examples.SCORES, ScoresAnswer, wire.scores),
        (examples.TAGS, TagsAnswer, wire.tags),
    ],
    ids=["recommend", "churn", "scores", "tags"],
)
def test_no_field_is_lost_on_the_way_to_grpc(
    example: dict[str, Any], kind: type, translate: Callable[[Any], Any]
) -> None:
    full = {**example, "degraded": ["churn_unavailable"]}
    message = translate(msgspec.convert(full, kind))

    assert differences(full, message) == []
    message.receipt.features_age_ms += 1  # and the comparison can see a difference
    assert len(differences(full, message)) == 1


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/v1/churn/ann", ChurnAnswer), ("/v1/tags/ann", TagsAnswer)],
)
def test_churn_and_tags_answer_over_http(app: FastAPI, path: str, kind: type) -> None:
    response = call(app, "GET", path)

    assert response.status_code == 200
    assert msgspec.json.decode(response.content, type=kind).receipt.log_position


def test_a_customer_id_may_hold_slashes_and_any_letters(app: FastAPI) -> None:
    assert call(app, "GET", "/v1/tags/a%2Fb").status_code == 200
    assert call(app, "GET", "/v1/tags/%E5%BC%A0%E4%B8%89").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("GET", "/v1/recommend", {}),
        ("GET", "/v1/recommend", {"params": {"customer_id": ""}}),
        ("GET", "/v1/recommend", {"params": {"customer_id": "x" * 257}}),
        ("GET", "/v1/recommend", {"params": {"customer_id": "a\x00b"}}),
        ("GET", "/v1/recommend", {"params": {"customer_id": "a", "k": 0}}),
        ("GET", "/v1/recommend", {"params": {"customer_id": "a", "k": 101}}),
        ("GET", "/v1/recommend", {"params": {"customer_id": "a", "k": "many"}}),
        ("GET", "/v1/recommend", {"params": {"customer_id": "a", "scene": "moon"}}),
        ("GET", "/v1/recommend", {"params": {"customer_id": "a", "as_of_us": -1}}),
        ("GET", "/v1/recommend", {"params": {"customer_id": "a", "as_of_us": 10**30}}),
        ("POST", "/v1/recommend", {"content": b"{"}),
        ("POST", "/v1/recommend", {"content": b"\xff\xfe"}),
        ("POST", "/v1/recommend", {"content": b'{"customer_id": "\\ud800"}'}),
        ("POST", "/v1/recommend", {"content": b'{"customer_id": NaN}'}),
        ("POST", "/v1/recommend", {"content": b"[" * 100_000}),
        ("POST", "/v1/recommend", {"json": {"customer_id": "a", "k": "5"}}),
        ("POST", "/v1/recommend", {"json": {"customer_id": "a", "kk": 5}}),
        (
            "POST",
            "/v1/recommend",
            {"json": {"customer_id": "a", "exclude_item_ids": ["x"] * 1_001}},
        ),
        ("GET", "/v1/churn/", {}),
        ("GET", "/v1/scores/", {}),
        ("GET", "/v1/scores/a", {"params": {"tasks": "wealth"}}),
        ("GET", "/v1/scores/a", {"params": {"categories": ["c"] * 51}}),
        ("POST", "/v1/scores", {"json": {"customer_ids": []}}),
        ("POST", "/v1/scores", {"json": {"customer_ids": ["a"] * 201}}),
        ("POST", "/v1/scores", {"json": {"customer_ids": ["a", "b\x00"]}}),
        ("POST", "/v1/scores", {"json": {"customer_ids": "a"}}),
        ("GET", "/v1/tags/a%07b", {}),
    ],
)
def test_what_must_be_mended_is_told_as_a_problem(
    app: FastAPI, method: str, path: str, more: dict[str, Any]
) -> None:
    if "content" in more:
        more = {**more, "headers": {"Content-Type": "application/json"}}

    response = call(app, method, path, **more)

    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == problems.MEDIA_TYPE
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["detail"]
    assert problem["code"]


@pytest.mark.parametrize(
    ("more", "field", "hint"),
    [
        ({"json": {"customer_id": "a", "k": 1_000}}, "body.k", "less than or equal to 100"),
        ({"json": {"customer_id": "a", "k": "5"}}, "body.k", "is no whole number"),
        ({"json": {"customer_id": "a", "kk": 5}}, "body.kk", "no such field: look at its spelling"),
        ({"json": {"customer_id": "a", "a b": 5}}, "body", "no such field: look at its spelling"),
        ({"json": {"customer_id": "a\x07"}}, "body.customer_id", "holds control characters"),
        ({"json": {"customer_id": "a", "scene": "A B"}}, "body.scene", "a-z, 0-9, _ and -"),
        ({"json": {"customer_id": "a", "min_position": "x"}}, "body.min_position", "the token as"),
        ({"json": {"customer_id": "a", "item_ids": ["x"] * 51}}, "body.item_ids", "not 51"),
        ({"json": [1]}, "body", "Content-Type: application/json"),
        ({"content": b"{"}, "body.1", "is no JSON from here on"),
        (
            {"json": {"customer_id": "a"}, "headers": {"X-Nearline-Deadline-Ms": "soon"}},
            "header.X-Nearline-Deadline-Ms",
            "should be a valid number",
        ),
    ],
)
def test_a_refusal_says_which_field_and_what_to_do_in_its_detail(
    app: FastAPI, more: dict[str, Any], field: str, hint: str
) -> None:
    headers = {"Content-Type": "application/json", **more.pop("headers", {})}

    told = call(app, "POST", "/v1/recommend", headers=headers, **more).json()

    assert told["errors"][0]["field"] == field
    assert hint in told["errors"][0]["hint"]
    assert told["detail"] == f"{field}: {told['errors'][0]['hint']}"
    assert not [odd for odd in ("Value error", "after validation", "^[") if odd in str(told)]


def test_a_body_that_is_no_text_is_told_to_be_json(app: FastAPI) -> None:
    headers = {"Content-Type": "application/json"}

    refused = call(app, "POST", "/v1/recommend", content=b'{"\xff": 1}', headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    assert refused.json()["detail"] == "The body cannot be read: send JSON in UTF-8."


def test_tasks_that_are_not_known_are_named_over_grpc(shopped: Any) -> None:
    context = Context()
    frame = pb.ScoresRequest(customer_id="ann", tasks=["churn", "welth"]).SerializeToString()

    asyncio.run(GrpcApi(shopped.answering).scores(frame, context))

    assert context.code == grpc.StatusCode.INVALID_ARGUMENT
    assert context.details == (
        "tasks: no such task: 'welth'; choose from churn, repurchase, category_demand"
    )


def test_a_problem_never_repeats_what_was_sent(app: FastAPI) -> None:
    body = {"customer_id": "secret\x01name", "my_secret_name": 1}
    response = call(app, "POST", "/v1/recommend", json=body)

    assert response.status_code == 422
    assert "secret\x01" not in response.json()["detail"]
    assert "secret\\u0001" not in response.text


def test_a_body_without_end_is_refused_before_it_is_read_whole(app: FastAPI) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            sent += 100_000
            yield b"[" + b" " * 99_999

    response = call(app, "POST", "/v1/recommend", content=endless())

    assert response.status_code == 413
    assert response.json()["code"] == "too_large"
    assert f"{MAX_BODY_BYTES:,} bytes" in response.json()["detail"]
    assert sent <= MAX_BODY_BYTES + 200_000


def test_the_longest_question_that_is_allowed_fits_in_a_body(app: FastAPI) -> None:
    each, wide = MAX_IDS_BYTES // MAX_EXCLUDED, MAX_IDS_BYTES // MAX_ANCHORS
    excluded = [f"{number:0{each}d}" for number in range(MAX_EXCLUDED)]
    anchors = [f"{number:0{min(256, wide)}d}" for number in range(MAX_ANCHORS)]
    question = {"customer_id": "😀" * 256, "exclude_item_ids": excluded, "item_ids": anchors}

    def ask() -> httpx.Response:
        # Every character escaped: longer than a client need make it.
        plain = json.dumps(question, ensure_ascii=False)
        escaped = re.sub(r"[0-9]", lambda found: f"\\u{ord(found.group()):04x}", plain)
        headers = {"Content-Type": "application/json"}
        assert len(escaped) > 0.4 * MAX_BODY_BYTES
        return call(app, "POST", "/v1/recommend", content=escaped.encode(), headers=headers)

    assert ask().status_code == 200
    excluded[-1] = "é" + excluded[-1][1:]
    refused = ask()

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "exclude_item_ids"
    assert "40,001 bytes" in refused.json()["detail"]


def test_unknown_paths_and_methods_are_problems_too(app: FastAPI) -> None:
    missing, method = call(app, "GET", "/v2/nothing"), call(app, "DELETE", "/v1/recommend")

    assert (missing.status_code, method.status_code) == (404, 405)
    assert missing.headers["content-type"] == method.headers["content-type"] == problems.MEDIA_TYPE
    assert method.headers["allow"]


def test_a_bug_is_a_problem_without_its_details(
    app: FastAPI, shopped: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        async def customer(self, _: str) -> None:
            raise ZeroDivisionError(ANNS)

    shopped.answering._features = Broken()

    response = call(app, "GET", "/v1/tags/ann", raises=True)  # nothing reaches the server's log

    assert response.status_code == 500
    assert response.json()["code"] == "internal"
    assert "secret" not in response.text + caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert "tags_for" in caplog.text  # where


def test_a_bug_is_internal_over_grpc_without_its_details(
    shopped: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        async def tags(self, *_: object) -> None:
            raise ZeroDivisionError(ANNS)

    context = Context()
    frame = pb.TagsRequest(customer_id="ann").SerializeToString()

    asyncio.run(GrpcApi(Broken()).tags(frame, context))

    assert (context.code, context.details) == (grpc.StatusCode.INTERNAL, problems.BROKEN)
    assert "secret" not in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_starting_is_not_yet_healthy(app: FastAPI) -> None:
    assert call(app, "GET", "/healthz").status_code == 503


def test_the_metrics_count_answers_and_degradations(app: FastAPI, shopped: Any) -> None:
    call(app, "GET", "/v1/recommend", params={"customer_id": "ann"})
    shopped.features.down = True
    call(app, "GET", "/v1/recommend", params={"customer_id": "ann"})

    text = call(app, "GET", "/metrics").text

    assert 'nearline_recommend_latency_ms_count{bundle_role="champion"} 2.0' in text
    assert "nearline_freshness_ms_count 1.0" in text
    labels = 'answer="recommend",bundle_role="champion",missing="features_unavailable"'
    assert f"nearline_degraded_total{{{labels}}} 1.0" in text
    assert "ann" not in text.replace("answer", "")


def test_the_examples_in_the_document_fit_the_contract(app: FastAPI) -> None:
    document = app.openapi()

    assert set(document["paths"]) == {
        "/v1/recommend",
        "/v1/churn/{customer_id}",
        "/v1/scores/{customer_id}",
        "/v1/scores",
        "/v1/tags/{customer_id}",
        "/healthz",
        "/metrics",
    }
    msgspec.convert(examples.RECOMMENDATION, Recommendation)
    msgspec.convert(examples.CHURN, ChurnAnswer)
    msgspec.convert(examples.SCORES, ScoresAnswer)
    msgspec.convert(examples.TAGS, TagsAnswer)
    assert call(app, "POST", "/v1/recommend", json=examples.QUESTION).status_code == 200
    assert call(app, "POST", "/v1/scores", json=examples.SCORES_ASKED).status_code == 200
    json.dumps(document)


# gRPC


def test_zero_and_empty_mean_the_defaults() -> None:
    query = wire.query_of(pb.RecommendRequest(customer_id="ann"))

    assert query == RecommendQuery("ann", Scene.HOME, None, (), None)


@pytest.mark.parametrize(
    "message",
    [
        pb.RecommendRequest(),
        pb.RecommendRequest(customer_id="a\nb"),
        pb.RecommendRequest(customer_id="a", k=-1),
        pb.RecommendRequest(customer_id="a", k=101),
        pb.RecommendRequest(customer_id="a", scene="moon"),
        pb.RecommendRequest(customer_id="a", as_of_us=-5),
        pb.RecommendRequest(customer_id="a", exclude_item_ids=[""]),
    ],
)
def test_a_message_that_must_be_mended_is_an_invalid_argument(
    shopped: Any, message: pb.RecommendRequest
) -> None:
    context = Context()

    asyncio.run(GrpcApi(shopped.answering).recommend(message.SerializeToString(), context))

    assert context.code is grpc.StatusCode.INVALID_ARGUMENT
    assert context.details


def test_random_frames_are_answered_or_refused_but_never_raise(shopped: Any) -> None:
    generator = random.Random(3)
    api = GrpcApi(shopped.answering)

    async def all_of_them() -> list[grpc.StatusCode | None]:
        codes = []
        for _ in range(300):
            frame = generator.randbytes(generator.randint(0, 60))
            for method in (api.recommend, api.churn, api.tags, api.scores, api.scores_batch):
                context = Context()
                await method(frame, context)
                codes.append(context.code)
        return codes

    codes = asyncio.run(all_of_them())

    assert set(codes) <= {None, grpc.StatusCode.INVALID_ARGUMENT}
    assert grpc.StatusCode.INVALID_ARGUMENT in codes


def test_health_knows_our_service_and_no_other(shopped: Any) -> None:
    api, known, unknown = GrpcApi(shopped.answering), Context(), Context()
    serving = health_pb2.HealthCheckResponse.SERVING

    for service in ("", "nearline.v1.Recommendations"):
        frame = health_pb2.HealthCheckRequest(service=service).SerializeToString()
        assert api.check(frame, known).status == serving
    api.check(health_pb2.HealthCheckRequest(service="x").SerializeToString(), unknown)

    assert known.code is None
    assert unknown.code is grpc.StatusCode.NOT_FOUND


def test_who_watches_health_is_told_again_and_again_also_of_a_service_that_is_not_there(
    shopped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_api, "WATCH_EVERY_S", 0.0)
    api, status = GrpcApi(shopped.answering), health_pb2.HealthCheckResponse

    async def watched(frame: bytes) -> tuple[list[int], grpc.StatusCode | None]:
        context, told = Context(), []
        async with aclosing(api.watch(frame, context)) as statuses:
            async for one in statuses:
                told.append(one.status)
                if len(told) == 3:
                    break
        return told, context.code

    def of(service: str) -> bytes:
        return health_pb2.HealthCheckRequest(service=service).SerializeToString()

    assert asyncio.run(watched(of(""))) == ([status.SERVING] * 3, None)
    assert asyncio.run(watched(of("x"))) == ([status.SERVICE_UNKNOWN] * 3, None)
    assert asyncio.run(watched(b"\xff\xff")) == ([], grpc.StatusCode.INVALID_ARGUMENT)


def test_watchers_are_bounded_and_leave_their_places_so_that_they_cannot_starve_answers(
    shopped: Any,
) -> None:
    api = GrpcApi(shopped.answering)
    watching = [api.watch(b"", Context()) for _ in range(grpc_api.MAX_WATCHERS)]

    async def refused() -> grpc.StatusCode | None:
        context = Context()
        assert [one async for one in api.watch(b"", context)] == []
        return context.code

    async def story() -> None:
        for one in watching:
            await anext(one)
        # Clients take any other code for a service that is not well.
        assert await refused() is grpc.StatusCode.UNIMPLEMENTED
        assert await refused() is grpc.StatusCode.UNIMPLEMENTED
        await watching[0].aclose()
        late = api.watch(b"", Context())
        await anext(late)
        assert await refused() is grpc.StatusCode.UNIMPLEMENTED
        for one in (*watching, late):
            await one.aclose()
        assert api._watchers == 0

    asyncio.run(story())
