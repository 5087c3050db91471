"""Contract 6: what a caller asks for and what Nearline answers, over HTTP and gRPC alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

MAX_ITEMS = 100


class Scene(StrEnum):
    """Where in the shop the answer will be shown."""

    HOME = "home"
    DETAIL = "detail"
    CART = "cart"
    AFTER_PURCHASE = "after_purchase"
    MARKETING = "marketing"


class Degradation(StrEnum):
    """What was missing when the answer was made, and so which fallback answered."""

    FEATURES_UNAVAILABLE = "features_unavailable"  # Redis: strangers' answer, purchases unknown
    ITEM_FEATURES_UNAVAILABLE = "item_features_unavailable"  # ranker sees item features missing
    ENCODER_UNAVAILABLE = "encoder_unavailable"  # candidates without the sequence model
    RANKER_UNAVAILABLE = "ranker_unavailable"  # order of retrieval
    BUNDLE_UNAVAILABLE = "bundle_unavailable"  # popular items of the last backfill
    NOTHING_TO_RECOMMEND = "nothing_to_recommend"  # and not even those
    CHURN_UNAVAILABLE = "churn_unavailable"
    OUTSIDE_COHORT = "outside_cohort"  # unseen for too long: no score was calibrated on such
    CHALLENGER_UNAVAILABLE = "challenger_unavailable"  # it was asked for; the champion answered
    EXPOSURES_DELAYED = "exposures_delayed"  # could not be logged yet; kept and retried


class Chosen(StrEnum):
    """Which of the two bundles that serve should answer."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"


@dataclass(frozen=True, slots=True)
class RecommendQuery:
    """One question. `as_of_us` None means now; it serves replays and tests.

    `bundle` None leaves the choice to the share of customers that the challenger gets.
    """

    customer_id: str
    scene: Scene = Scene.HOME
    k: int = 10
    exclude_item_ids: tuple[str, ...] = ()
    as_of_us: int | None = None
    bundle: Chosen | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an item stands in the list, in words that a customer may read."""

    code: str  # see `serving.reasons`
    text_en: str
    text_zh: str
    item_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecommendedItem:
    """One place in the list; rank starts at 1."""

    item_id: str
    rank: int
    score: float
    sources: tuple[str, ...]  # see `transforms.sources`
    reasons: tuple[Reason, ...]
    category: str = ""
    price_cents: int = 0


@dataclass(frozen=True, slots=True)
class RuleEffect:
    """A rule that changed the list, and how many candidates it touched."""

    rule: str  # never_purchased, excluded, category_share, seen_share
    affected: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Versions:
    """What made the answer. Bundle is the registry's version number, or empty."""

    bundle: str = ""
    rules: str = ""
    experiment: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """How fresh the answer is: proof of which events it has seen.

    `log_position` is the newest event of this customer folded into the features used.
    """

    log_position: str
    as_of_us: int
    newest_event_at_us: int
    newest_event_age_ms: float | None
    features_age_ms: float | None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer to a RecommendQuery."""

    response_id: str
    scene: Scene
    items: tuple[RecommendedItem, ...]
    rules: tuple[RuleEffect, ...]
    versions: Versions
    receipt: Receipt
    degraded: tuple[Degradation, ...] = ()


@dataclass(frozen=True, slots=True)
class ChurnReason:
    """One feature's pull on a churn score, in log-odds; positive speaks for leaving."""

    feature: str
    value: float | None
    contribution: float
    text_en: str
    text_zh: str


@dataclass(frozen=True, slots=True)
class ChurnScore:
    """The calibrated probability of no event within the horizon."""

    horizon_days: int
    probability: float
    reasons: tuple[ChurnReason, ...]


@dataclass(frozen=True, slots=True)
class ChurnAnswer:
    """Churn scores of one customer, shortest horizon first."""

    response_id: str
    scores: tuple[ChurnScore, ...]
    versions: Versions
    receipt: Receipt
    degraded: tuple[Degradation, ...] = ()


@dataclass(frozen=True, slots=True)
class Tag:
    """A real-time tag of a customer, with its name for people."""

    code: str
    text_en: str
    text_zh: str


@dataclass(frozen=True, slots=True)
class TagsAnswer:
    """The tags that hold for a customer at the instant of the receipt."""

    tags: tuple[Tag, ...]
    receipt: Receipt
    degraded: tuple[Degradation, ...] = field(default=())
