"""Questions as HTTP takes them: their fields, checked and described for the API's document."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Header
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
)

from nearline.contracts.answer import (
    DEFAULT_WAIT_MS,
    MAX_ANCHORS,
    MAX_BATCH,
    MAX_CATEGORIES,
    MAX_ITEMS,
    MAX_WAIT_MS,
    Chosen,
    RecommendQuery,
)
from nearline.contracts.bundle import Task
from serving import examples
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
    recommend_query,
)

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
        description="How many items; left out, as many as the scene shows. Of more than the scene "
        "shows at most (`length` in its file) that many come, and `rules` says so (`length`).",
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
        raise ValueError("is no whole number: send one without quotes")
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
        "caps count by it. Any name is taken, and one that no cap names has none. Left out, the "
        "scene's own.",
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
