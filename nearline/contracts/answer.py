"""Contract 6: what a caller asks for and what Nearline answers, over HTTP and gRPC alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

MAX_ITEMS = 100
MAX_ANCHORS = 50  # Items that a question may be about: a product page's one, a cart's several.
MAX_BATCH = 200  # Customers whose scores one question may ask for.
MAX_CATEGORIES = 50  # As many as the state of a customer can remember.
MAX_WAIT_MS = 2_000  # Longest time that an answer may wait for an event (`min_position`).
DEFAULT_WAIT_MS = 300


class Scene(StrEnum):
    """Where in the shop the answer will be shown: the scenes that ship with Nearline.

    A shop's own files may name others, so everywhere else a scene is a plain name.
    """

    HOME = "home"
    GUESS_YOU_LIKE = "guess_you_like"
    DETAIL = "detail"
    DETAIL_SIMILAR = "detail_similar"
    DETAIL_BOUGHT_TOGETHER = "detail_bought_together"
    CART = "cart"
    AFTER_PURCHASE = "after_purchase"
    CATEGORY = "category"
    CAMPAIGN = "campaign"
    COUPON = "coupon"
    MARKETING = "marketing"
    PUSH = "push"
    EMAIL = "email"


class Degradation(StrEnum):
    """What was missing when the answer was made, and so which fallback answered."""

    FEATURES_UNAVAILABLE = "features_unavailable"  # Redis: strangers' answer, purchases unknown
    ITEM_FEATURES_UNAVAILABLE = "item_features_unavailable"  # unknown to the ranker and the rules
    ENCODER_UNAVAILABLE = "encoder_unavailable"  # candidates without the sequence model
    INDEX_UNAVAILABLE = "index_unavailable"  # nor items that lie near it, or near given ones
    RANKER_UNAVAILABLE = "ranker_unavailable"  # order of retrieval
    EXPLANATIONS_UNAVAILABLE = "explanations_unavailable"  # and reasons, where they failed
    BUNDLE_UNAVAILABLE = "bundle_unavailable"  # popular items of the last backfill
    NOTHING_TO_RECOMMEND = "nothing_to_recommend"  # and not even those
    CHURN_UNAVAILABLE = "churn_unavailable"
    SCORES_UNAVAILABLE = "scores_unavailable"  # the bundle brings no model of what was asked for
    LIFETIME_UNAVAILABLE = "lifetime_unavailable"  # no such model, or days of purchases unknown
    OUTSIDE_COHORT = "outside_cohort"  # unseen for too long: no score was calibrated on such
    CUSTOMER_UNKNOWN = "customer_unknown"  # no event of items that may be used: nothing to score
    CHALLENGER_UNAVAILABLE = "challenger_unavailable"  # it was asked for; the champion answered
    EXPOSURES_DELAYED = "exposures_delayed"  # could not be logged yet; kept and retried
    STALE = "stale"  # the event of `min_position` did not arrive within the wait
    ANSWER_FAILED = "answer_failed"  # a fault of Nearline's own: popular items, see its log
    DEADLINE = "deadline"  # a part was left out because the time was up
    CAP_UNKNOWN = "cap_unknown"  # the counts of a frequency cap could not be read: nothing sent

    @classmethod
    def _missing_(cls, value: object) -> Degradation | None:
        """A name that this version does not know, kept as it came.

        An older client must be able to read a newer server. It is no member of the class.
        """
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_, unknown._value_ = value.upper(), value
        return unknown


class Chosen(StrEnum):
    """Which of the two bundles that serve should answer."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"


@dataclass(frozen=True, slots=True)
class RecommendQuery:
    """One question.

    `k` None asks for as many as the scene shows; more than its most are cut, and the answer's
    rules say so (`length`). `item_ids` are what the question is about: the
    product page's item, the cart's, the order's. `channel` is by what way the list reaches the
    customer, for caps that count by it. `age_years` lets items with an age limit through.
    With `personalized` off nothing of the customer is read. `min_position` is the log token of
    an event that the answer must have seen; it waits for that up to `max_wait_ms`.
    `as_of_us` None means now; it serves tests. `bundle` None leaves the choice to the share of
    customers that the challenger gets.
    """

    customer_id: str
    scene: str = Scene.HOME
    k: int | None = None
    exclude_item_ids: tuple[str, ...] = ()
    as_of_us: int | None = None
    bundle: Chosen | None = None
    item_ids: tuple[str, ...] = ()
    category: str = ""
    channel: str = ""
    age_years: int | None = None
    personalized: bool = True
    explain: bool = False
    min_position: str = ""
    max_wait_ms: int = DEFAULT_WAIT_MS


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an item stands in the list, in words that a customer may read."""

    code: str  # see `serving.reasons`
    text_en: str
    text_zh: str
    item_id: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A rule that changed an item's place; ranks start at 1, before and after that rule."""

    rule: str
    from_rank: int
    to_rank: int


@dataclass(frozen=True, slots=True)
class PastEvent:
    """Something the customer did that speaks for an item."""

    kind: str  # view, cart, purchase, favourite
    item_id: str
    at_us: int
    similarity: float  # cosine between the two items, -1 to 1; 1 for the item itself


@dataclass(frozen=True, slots=True)
class FeatureReason:
    """One feature's pull on a score, in the model's own units (log-odds for probabilities).

    `value` is None where the feature does not exist for this customer or item.
    """

    feature: str
    value: float | None
    contribution: float
    text_en: str
    text_zh: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an item stands where it stands, for the people who run the shop.

    `contributions` add up, with all that are not shown and a base, to the ranker's score.
    """

    source_ranks: dict[str, int]
    nearest: tuple[PastEvent, ...]
    contributions: tuple[FeatureReason, ...]


@dataclass(frozen=True, slots=True)
class RecommendedItem:
    """One place in the list; rank starts at 1.

    `moves` are the rules that put it there, `propensity` the probability that this place got
    this item, given the places before it: below 1 only where the scene explores.
    """

    item_id: str
    rank: int
    score: float
    sources: tuple[str, ...]  # see `transforms.sources`
    reasons: tuple[Reason, ...]
    category: str = ""
    price_cents: int = 0
    moves: tuple[Move, ...] = ()
    propensity: float = 1.0
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True)
class RuleEffect:
    """A rule that changed the list, how many candidates it touched, and the first of them.

    `note` is empty where the rule held; else it says why it could not hold, and for how much, or
    why the list is shorter than what was asked for.
    """

    rule: str  # see docs/scenes.md
    affected: int
    note: str = ""
    item_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Versions:
    """What made the answer.

    Bundle is the registry's version number, or empty; rules the digest of scene and rule files.
    """

    bundle: str = ""
    rules: str = ""
    experiment: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """How fresh the answer is: proof of which events it has seen.

    `log_position` is up to where this customer's events are in the features used,
    `item_positions` up to where each partition is in the items' (so together they name every
    event that the answer knew).
    """

    log_position: str
    as_of_us: int
    newest_event_at_us: int
    newest_event_age_ms: float | None
    features_age_ms: float | None
    item_positions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer to a RecommendQuery."""

    response_id: str
    scene: str
    items: tuple[RecommendedItem, ...]
    rules: tuple[RuleEffect, ...]
    versions: Versions
    receipt: Receipt
    degraded: tuple[Degradation, ...] = ()


@dataclass(frozen=True, slots=True)
class ChurnScore:
    """The calibrated probability of no event within the horizon."""

    horizon_days: int
    probability: float
    reasons: tuple[FeatureReason, ...]


@dataclass(frozen=True, slots=True)
class ChurnAnswer:
    """Churn scores of one customer, shortest horizon first."""

    response_id: str
    scores: tuple[ChurnScore, ...]
    versions: Versions
    receipt: Receipt
    degraded: tuple[Degradation, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoresQuery:
    """Whose scores; `tasks` (see `contracts.bundle.Task`) empty asks for all that there are.

    `categories` narrow the demand for categories to these. Reasons cost several times what the
    probabilities do. `as_of_us` None means now.
    """

    customer_ids: tuple[str, ...]
    tasks: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    reasons: bool = True
    as_of_us: int | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """The calibrated probability that something comes true of a customer within the horizon.

    What that is depends on the task: churn, no event at all; repurchase, another purchase (only
    of customers who have bought); category_demand, a purchase in `category` (only of categories
    that the customer has met lately).
    """

    name: str
    task: str
    horizon_days: int
    probability: float
    reasons: tuple[FeatureReason, ...]
    category: str = ""


@dataclass(frozen=True, slots=True)
class LifetimeValue:
    """What a buyer is expected to buy within the horizon; see `transforms.lifetime`.

    Purchases of one day count as one. `value_cents` is None where the bundle knows nothing of
    spending. `alive_probability` is no churn score: it stands at 1 for who bought once.
    """

    horizon_days: int
    expected_purchases: float
    value_cents: float | None
    alive_probability: float


@dataclass(frozen=True, slots=True)
class ScoresAnswer:
    """All scores of one customer: churn, repurchase, then demand, likeliest category first.

    A stranger has none, and `degraded` says so (`customer_unknown`). `calibrated_to` is the newest
    event that the models have learnt and been calibrated with, `calibrated_at` when their bundle
    was made; RFC 3339, empty without a bundle.
    """

    response_id: str
    customer_id: str
    scores: tuple[Score, ...]
    value: LifetimeValue | None
    calibrated_at: str
    calibrated_to: str
    versions: Versions
    receipt: Receipt
    degraded: tuple[Degradation, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoresBatchAnswer:
    """One answer for each customer asked about, in that order."""

    answers: tuple[ScoresAnswer, ...]


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
