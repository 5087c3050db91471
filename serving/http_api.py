"""The HTTP door: FastAPI over anything that answers. JSON bodies are the contract's dataclasses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from fastapi import Body, FastAPI, Path, Query
from fastapi.responses import Response

import nearline
from nearline import tracing
from nearline.contracts.answer import (
    ChurnAnswer,
    Recommendation,
    ScoresAnswer,
    ScoresBatchAnswer,
    TagsAnswer,
)
from serving import examples, problems
from serving.answers import Answers
from serving.health import Health
from serving.http_questions import (
    AsOf,
    CustomerId,
    Deadline,
    RecommendBody,
    RecommendParameters,
    ScoresBody,
    ScoresParameters,
)
from serving.limits import MAX_BODY_BYTES, BodyLimit
from serving.metrics import CONTENT_TYPE, Metrics
from serving.requests import (
    PATTERNS,
    InvalidRequest,
    checked_customer_id,
    checked_instant,
    scores_query,
)
from serving.traced import Traced
from serving.turns import Overloaded

HealthCheck = Callable[[], Awaitable[Health]]


def build(answers: Answers, health: HealthCheck, metrics: Metrics) -> FastAPI:
    """The application; all it needs comes in as arguments."""
    app = FastAPI(
        title="Nearline",
        version=nearline.__version__,
        description="What a customer just did becomes what that customer sees next. "
        "Every answer carries its reasons, versions and a freshness receipt; `degraded` names "
        "what was missing when it was made.",
        redirect_slashes=False,
        redoc_url=None,
        telemetry=tracing.NOT_BY_FASTAPI,
    )
    app.add_middleware(BodyLimit)
    app.add_middleware(Traced)
    problems.install(app, PATTERNS)

    @app.exception_handler(InvalidRequest)
    async def invalid(_: Any, error: InvalidRequest) -> Response:
        hints = [{"field": error.field, "hint": error.hint}]
        return problems.respond(422, "invalid_request", str(error), hints)

    @app.exception_handler(Overloaded)
    async def overloaded(_: Any, error: Overloaded) -> Response:
        headers = {"Retry-After": str(error.retry_after_s)}
        return problems.respond(429, "overloaded", str(error), headers=headers)

    @app.get("/v1/recommend", **_documented("Recommend", Recommendation, examples.RECOMMENDATION))
    async def recommend_by_query(
        asked: Annotated[RecommendParameters, Query()], deadline_ms: Deadline = None
    ) -> Response:
        """The next best items for a customer, best first."""
        return _json(await answers.recommend(asked.query(), deadline_ms))

    @app.post("/v1/recommend", **_documented("Recommend", Recommendation, examples.RECOMMENDATION))
    async def recommend_by_body(
        body: Annotated[RecommendBody, Body()], deadline_ms: Deadline = None
    ) -> Response:
        """The same question as JSON."""
        return _json(await answers.recommend(body.query(), deadline_ms))

    @app.get(
        "/v1/churn/{customer_id:path}",
        **_documented("Churn", ChurnAnswer, examples.CHURN, in_path=True),
    )
    async def churn(
        customer_id: Annotated[CustomerId, Path()], as_of_us: Annotated[AsOf, Query()] = None
    ) -> Response:
        """How likely a customer is to stay away, per horizon, and why; empty for a stranger."""
        who, when = checked_customer_id(customer_id), checked_instant(as_of_us)
        return _json(await answers.churn(who, when))

    @app.get(
        "/v1/scores/{customer_id:path}",
        **_documented("Scores", ScoresAnswer, examples.SCORES, in_path=True),
    )
    async def scores(
        customer_id: Annotated[CustomerId, Path()],
        asked: Annotated[ScoresParameters, Query()],
        deadline_ms: Deadline = None,
    ) -> Response:
        """What a customer will likely do, why, and what that is worth; empty for a stranger."""
        who = checked_customer_id(customer_id)
        (one,) = await answers.scores(scores_query([who], **dict(asked)), deadline_ms)
        return _json(one)

    @app.post(
        "/v1/scores", **_documented("Scores", ScoresBatchAnswer, {"answers": [examples.SCORES]})
    )
    async def scores_batch(
        body: Annotated[ScoresBody, Body()], deadline_ms: Deadline = None
    ) -> Response:
        """The same of up to 200 customers, one answer each, in order.

        It gives way to recommendations: with reasons, expect seconds. Where the deadline (8 s,
        less if the header says so) passes before, the rest have none and say `deadline`.
        """
        fields = dict(body)
        query = scores_query(fields.pop("customer_ids"), **fields)
        return _json(ScoresBatchAnswer(await answers.scores(query, deadline_ms)))

    @app.get(
        "/v1/tags/{customer_id:path}",
        **_documented("Tags", TagsAnswer, examples.TAGS, in_path=True),
    )
    async def tags(
        customer_id: Annotated[CustomerId, Path()], as_of_us: Annotated[AsOf, Query()] = None
    ) -> Response:
        """What a marketer would call this customer right now; empty for a stranger."""
        who, when = checked_customer_id(customer_id), checked_instant(as_of_us)
        return _json(await answers.tags(who, when))

    @app.get(
        "/healthz",
        tags=["Operations"],
        response_class=Response,
        responses={200: {"model": Health}, 503: {"model": Health}},
    )
    async def healthz() -> Response:
        """Whether this gateway answers, and with what."""
        found = await health()
        status = 503 if found.status == "starting" else 200
        return Response(found.model_dump_json(), status, media_type="application/json")

    @app.get(
        "/metrics",
        tags=["Operations"],
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def prometheus() -> Response:
        """Latencies, freshness and degradations of this gateway for Prometheus."""
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    return app


def _json(answer: object) -> Response:
    # msgspec writes the dataclasses as they are, some twenty times faster than FastAPI would.
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _documented(
    tag: str, model: type, example: dict[str, Any], *, in_path: bool = False
) -> dict[str, Any]:
    """What a route answers; `in_path` where the customer's id is part of its address."""
    refusal = {
        "description": "The request must be mended (RFC 9457)",
        "content": {problems.MEDIA_TYPE: {"schema": problems.SCHEMA, "example": examples.PROBLEM}},
    }
    return {
        "tags": [tag],
        "response_class": Response,
        "responses": {
            200: {"model": model, "content": {"application/json": {"example": example}}},
            400: {
                "description": "Neither HTTP nor JSON that can be read; address and headers of "
                "over 15 KB together, which HAProxy refuses with a page of its own",
                "content": {
                    "text/html": {"schema": {"type": "string"}},
                    "text/plain": {"schema": {"type": "string"}},
                    problems.MEDIA_TYPE: {"schema": problems.SCHEMA},
                },
            },
            429: {
                **refusal,
                "description": "More is asked than can be answered in time; Retry-After says when "
                "to ask again",
            },
            413: {**refusal, "description": f"The body is over {MAX_BODY_BYTES:,} bytes"},
            422: refusal,
        }
        | (
            {404: {**refusal, "description": "An id with a line break is no path"}}
            if in_path
            else {}
        ),
    }
