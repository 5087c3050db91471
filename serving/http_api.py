"""The HTTP door: FastAPI over anything that answers. JSON bodies are the contract's dataclasses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Body, FastAPI, Header, Path, Query
from fastapi.responses import Response
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
)

import nearline
from nearline import tracing
from nearline.contracts.answer import (
    DEFAULT_WAIT_MS,
    MAX_ANCHORS,
    MAX_BATCH,
    MAX_CATEGORIES,
    MAX_ITEMS,
    MAX_WAIT_MS,
    Chosen,
    ChurnAnswer,
    Recommendation,
    RecommendQuery,
    ScoresAnswer,
    ScoresBatchAnswer,
    TagsAnswer,
)
from nearline.contracts.bundle import Task
from serving import examples, problems
from serving.answers import Answers
from serving.health import Health
from serving.limits import BodyLimit
from serving.metrics import CONTENT_TYPE, Metrics
from serving.requests import (
    ID_PATTERN,
    LATEST_US,
    MAX_AGE_YEARS,
    MAX_EXCLUDED,
    MAX_EXCLUDED_IN_URL,
    MAX_ID_LENGTH,
    MAX_IDS_BYTES,
    POSITION_PATTERN,
    SCENE_PATTERN,
    TEXT_PATTERN,
    InvalidRequest,
    checked_customer_id,
    checked_instant,
    recommend_query,
    scores_query,
)
from serving.traced import Traced
from serving.turns import Overloaded

Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)]
CustomerId = Annotated[Id, Field(description="Who asks.", examples=["c-1001"])]
SceneName = Annotated[
    str,
    Field(
        pattern=SCENE_PATTERN,
        description="Where in the shop the answer will be shown: a scene of the shop's files "
        "(`nearline scenes list`).",
        examples=["home"],
    ),
]
Count = Annotated[
    int | None,
    Field(
        ge=1,
        le=MAX_ITEMS,
        description="How many items; left out, as many as the scene shows.",
        examples=[10],
    ),
]
Excluded = Annotated[
    list[Id],
    Field(
        max_length=MAX_EXCLUDED,
        description="Item ids that must not be shown; together at most "
        f"{MAX_IDS_BYTES:,} bytes in UTF-8.",
    ),
]
FewExcluded = Annotated[
    list[Id],
    Field(
        max_length=MAX_EXCLUDED_IN_URL,
        description="Item ids that must not be shown; POST takes more.",
    ),
]
AsOf = Annotated[
    int | None,
    Field(
        ge=1,
        le=LATEST_US,
        description="Finish windows and ages as of this instant (microseconds since the epoch) "
        "instead of now; such an answer is not logged as shown.",
    ),
]
Which = Annotated[
    Chosen | None,
    Field(
        description="Which bundle should answer. Left out, the challenger answers its share of "
        "customers (NEARLINE_CHALLENGER_SHARE), the champion everybody else."
    ),
]
Deadline = Annotated[
    float | None,
    Header(
        alias="X-Nearline-Deadline-Ms",
        ge=1,
        le=60_000,
        description="How long the caller will wait; an answer that would come later is refused.",
    ),
    # A header cannot be null: it is left out.
    WithJsonSchema({"type": "number", "minimum": 1, "maximum": 60_000}),
]


def whole_number(value: object) -> object:
    """The value for pydantic to judge, unless it is a text or a truth."""
    if isinstance(value, str | bool):
        raise ValueError("Input should be a valid integer")
    return value


# In JSON 45.0 is the whole number 45, but neither "45" nor true is.
Whole = BeforeValidator(whole_number)


Anchors = Annotated[
    list[Id],
    Field(
        max_length=MAX_ANCHORS,
        description="What the question is about: a product page's item, the cart's, the order's.",
    ),
]
Category = Annotated[
    str,
    Field(max_length=MAX_ID_LENGTH, pattern=TEXT_PATTERN, description="For a category page."),
]
Channel = Annotated[
    str,
    Field(
        max_length=MAX_ID_LENGTH,
        pattern=TEXT_PATTERN,
        description="By what way the list reaches the customer (such as push, email); frequency "
        "caps count by it. Left out, the scene's own.",
    ),
]
Age = Annotated[
    int | None,
    Field(
        ge=0,
        le=MAX_AGE_YEARS,
        description="Lets items with an age limit through; left out, none of them is shown.",
    ),
]
Personalization = Annotated[
    Literal["on", "off"],
    Field(
        description="With off nothing of the customer is read: everybody gets the same list. What "
        "was purchased is then unknown, and caps do not count."
    ),
]
Explain = Annotated[
    bool, Field(description="Add to each item its explanation, for the people who run the shop.")
]
MinPosition = Annotated[
    str,
    Field(
        max_length=60,
        pattern=POSITION_PATTERN,
        description="Log token of an event (`position` in the collector's verdict) that the "
        "answer must have seen. It waits for that up to `max_wait_ms`, then says `stale`.",
    ),
]
MaxWait = Annotated[int, Field(ge=0, le=MAX_WAIT_MS)]


class RecommendBody(BaseModel):
    """A question as JSON; the same fields as the query string of GET."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": examples.QUESTION})
    customer_id: CustomerId
    scene: SceneName = "home"
    k: Annotated[Count, Whole] = None
    exclude_item_ids: Excluded = []
    as_of_us: Annotated[AsOf, Whole] = None
    bundle: Which = None
    item_ids: Anchors = []
    category: Category = ""
    channel: Channel = ""
    age_years: Annotated[Age, Whole] = None
    personalization: Personalization = "on"
    explain: Annotated[Explain, Strict()] = False
    min_position: MinPosition = ""
    max_wait_ms: Annotated[MaxWait, Whole] = DEFAULT_WAIT_MS

    def query(self) -> RecommendQuery:
        """The question, checked; raises InvalidRequest."""
        fields = dict(self)
        return recommend_query(fields.pop("customer_id"), **fields | {"bundle": self.bundle or ""})


class RecommendParameters(RecommendBody):
    """The same as a query string, which cannot be as long and has no types of its own."""

    k: Count = None
    exclude_item_ids: FewExcluded = []
    as_of_us: AsOf = None
    age_years: Age = None
    explain: Explain = False
    max_wait_ms: MaxWait = DEFAULT_WAIT_MS


Tasks = Annotated[
    list[Task],
    Field(
        max_length=len(Task),
        description="What to tell: churn (no event at all within the horizon), repurchase (another "
        "purchase), category_demand (a purchase in a category). Left out, all that there is.",
    ),
]
Categories = Annotated[
    list[Id],
    Field(max_length=MAX_CATEGORIES, description="Only the demand for these categories."),
]
Reasons = Annotated[
    bool, Field(description="With what speaks for and against; costs several times as much.")
]


class ScoresParameters(BaseModel):
    """What to tell of a customer, as a query string."""

    model_config = ConfigDict(extra="forbid")
    tasks: Tasks = []
    categories: Categories = []
    reasons: Reasons = True
    as_of_us: AsOf = None


class ScoresBody(ScoresParameters):
    """Whose scores, as JSON."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": examples.SCORES_ASKED})
    customer_ids: Annotated[
        list[Id],
        Field(
            min_length=1, max_length=MAX_BATCH, description="Whose scores; answered in this order."
        ),
    ]
    reasons: Annotated[Reasons, Strict()] = True
    as_of_us: Annotated[AsOf, Whole] = None


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
    problems.install(app)

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
                "description": "Neither HTTP nor JSON that can be read: an address over 64 KB",
                "content": {
                    "text/plain": {"schema": {"type": "string"}},
                    problems.MEDIA_TYPE: {"schema": problems.SCHEMA},
                },
            },
            429: {
                **refusal,
                "description": "More is asked than can be answered in time; Retry-After says when "
                "to ask again",
            },
            413: {**refusal, "description": "The body is over 1 MB"},
            422: refusal,
        }
        | (
            {404: {**refusal, "description": "An id with a line break is no path"}}
            if in_path
            else {}
        ),
    }
