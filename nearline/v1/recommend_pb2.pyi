from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecommendRequest(_message.Message):
    __slots__ = ("customer_id", "scene", "k", "exclude_item_ids", "as_of_us", "bundle", "item_ids", "category", "channel", "age_years", "personalization", "explain", "min_position", "max_wait_ms")
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    SCENE_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    AGE_YEARS_FIELD_NUMBER: _ClassVar[int]
    PERSONALIZATION_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    MIN_POSITION_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    customer_id: str
    scene: str
    k: int
    exclude_item_ids: _containers.RepeatedScalarFieldContainer[str]
    as_of_us: int
    bundle: str
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    category: str
    channel: str
    age_years: int
    personalization: str
    explain: bool
    min_position: str
    max_wait_ms: int
    def __init__(self, customer_id: _Optional[str] = ..., scene: _Optional[str] = ..., k: _Optional[int] = ..., exclude_item_ids: _Optional[_Iterable[str]] = ..., as_of_us: _Optional[int] = ..., bundle: _Optional[str] = ..., item_ids: _Optional[_Iterable[str]] = ..., category: _Optional[str] = ..., channel: _Optional[str] = ..., age_years: _Optional[int] = ..., personalization: _Optional[str] = ..., explain: _Optional[bool] = ..., min_position: _Optional[str] = ..., max_wait_ms: _Optional[int] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("response_id", "scene", "items", "rules", "versions", "receipt", "degraded")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    SCENE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    scene: str
    items: _containers.RepeatedCompositeFieldContainer[RecommendedItem]
    rules: _containers.RepeatedCompositeFieldContainer[RuleEffect]
    versions: Versions
    receipt: Receipt
    degraded: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, response_id: _Optional[str] = ..., scene: _Optional[str] = ..., items: _Optional[_Iterable[_Union[RecommendedItem, _Mapping]]] = ..., rules: _Optional[_Iterable[_Union[RuleEffect, _Mapping]]] = ..., versions: _Optional[_Union[Versions, _Mapping]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., degraded: _Optional[_Iterable[str]] = ...) -> None: ...

class RecommendedItem(_message.Message):
    __slots__ = ("item_id", "rank", "score", "sources", "reasons", "category", "price_cents", "moves", "propensity", "explanation")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PRICE_CENTS_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    rank: int
    score: float
    sources: _containers.RepeatedScalarFieldContainer[str]
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    category: str
    price_cents: int
    moves: _containers.RepeatedCompositeFieldContainer[Move]
    propensity: float
    explanation: Explanation
    def __init__(self, item_id: _Optional[str] = ..., rank: _Optional[int] = ..., score: _Optional[float] = ..., sources: _Optional[_Iterable[str]] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., category: _Optional[str] = ..., price_cents: _Optional[int] = ..., moves: _Optional[_Iterable[_Union[Move, _Mapping]]] = ..., propensity: _Optional[float] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ...) -> None: ...

class Move(_message.Message):
    __slots__ = ("rule", "from_rank", "to_rank")
    RULE_FIELD_NUMBER: _ClassVar[int]
    FROM_RANK_FIELD_NUMBER: _ClassVar[int]
    TO_RANK_FIELD_NUMBER: _ClassVar[int]
    rule: str
    from_rank: int
    to_rank: int
    def __init__(self, rule: _Optional[str] = ..., from_rank: _Optional[int] = ..., to_rank: _Optional[int] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("source_ranks", "nearest", "contributions")
    class SourceRanksEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SOURCE_RANKS_FIELD_NUMBER: _ClassVar[int]
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    source_ranks: _containers.ScalarMap[str, int]
    nearest: _containers.RepeatedCompositeFieldContainer[PastEvent]
    contributions: _containers.RepeatedCompositeFieldContainer[FeatureReason]
    def __init__(self, source_ranks: _Optional[_Mapping[str, int]] = ..., nearest: _Optional[_Iterable[_Union[PastEvent, _Mapping]]] = ..., contributions: _Optional[_Iterable[_Union[FeatureReason, _Mapping]]] = ...) -> None: ...

class PastEvent(_message.Message):
    __slots__ = ("kind", "item_id", "at_us", "similarity")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    kind: str
    item_id: str
    at_us: int
    similarity: float
    def __init__(self, kind: _Optional[str] = ..., item_id: _Optional[str] = ..., at_us: _Optional[int] = ..., similarity: _Optional[float] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("code", "item_id", "text_en", "text_zh")
    CODE_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_EN_FIELD_NUMBER: _ClassVar[int]
    TEXT_ZH_FIELD_NUMBER: _ClassVar[int]
    code: str
    item_id: str
    text_en: str
    text_zh: str
    def __init__(self, code: _Optional[str] = ..., item_id: _Optional[str] = ..., text_en: _Optional[str] = ..., text_zh: _Optional[str] = ...) -> None: ...

class RuleEffect(_message.Message):
    __slots__ = ("rule", "affected", "note", "item_ids")
    RULE_FIELD_NUMBER: _ClassVar[int]
    AFFECTED_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    rule: str
    affected: int
    note: str
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, rule: _Optional[str] = ..., affected: _Optional[int] = ..., note: _Optional[str] = ..., item_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Versions(_message.Message):
    __slots__ = ("bundle", "rules", "experiment")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    bundle: str
    rules: str
    experiment: str
    def __init__(self, bundle: _Optional[str] = ..., rules: _Optional[str] = ..., experiment: _Optional[str] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("log_position", "as_of_us", "newest_event_at_us", "newest_event_age_ms", "features_age_ms", "item_positions")
    LOG_POSITION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    NEWEST_EVENT_AT_US_FIELD_NUMBER: _ClassVar[int]
    NEWEST_EVENT_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    ITEM_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    log_position: str
    as_of_us: int
    newest_event_at_us: int
    newest_event_age_ms: float
    features_age_ms: float
    item_positions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, log_position: _Optional[str] = ..., as_of_us: _Optional[int] = ..., newest_event_at_us: _Optional[int] = ..., newest_event_age_ms: _Optional[float] = ..., features_age_ms: _Optional[float] = ..., item_positions: _Optional[_Iterable[str]] = ...) -> None: ...

class ChurnRequest(_message.Message):
    __slots__ = ("customer_id", "as_of_us")
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    customer_id: str
    as_of_us: int
    def __init__(self, customer_id: _Optional[str] = ..., as_of_us: _Optional[int] = ...) -> None: ...

class ChurnResponse(_message.Message):
    __slots__ = ("response_id", "scores", "versions", "receipt", "degraded")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    scores: _containers.RepeatedCompositeFieldContainer[ChurnScore]
    versions: Versions
    receipt: Receipt
    degraded: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, response_id: _Optional[str] = ..., scores: _Optional[_Iterable[_Union[ChurnScore, _Mapping]]] = ..., versions: _Optional[_Union[Versions, _Mapping]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., degraded: _Optional[_Iterable[str]] = ...) -> None: ...

class ChurnScore(_message.Message):
    __slots__ = ("horizon_days", "probability", "reasons")
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    horizon_days: int
    probability: float
    reasons: _containers.RepeatedCompositeFieldContainer[FeatureReason]
    def __init__(self, horizon_days: _Optional[int] = ..., probability: _Optional[float] = ..., reasons: _Optional[_Iterable[_Union[FeatureReason, _Mapping]]] = ...) -> None: ...

class FeatureReason(_message.Message):
    __slots__ = ("feature", "value", "contribution", "text_en", "text_zh")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    TEXT_EN_FIELD_NUMBER: _ClassVar[int]
    TEXT_ZH_FIELD_NUMBER: _ClassVar[int]
    feature: str
    value: float
    contribution: float
    text_en: str
    text_zh: str
    def __init__(self, feature: _Optional[str] = ..., value: _Optional[float] = ..., contribution: _Optional[float] = ..., text_en: _Optional[str] = ..., text_zh: _Optional[str] = ...) -> None: ...

class ScoresRequest(_message.Message):
    __slots__ = ("customer_id", "tasks", "categories", "reasons", "as_of_us")
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    customer_id: str
    tasks: _containers.RepeatedScalarFieldContainer[str]
    categories: _containers.RepeatedScalarFieldContainer[str]
    reasons: bool
    as_of_us: int
    def __init__(self, customer_id: _Optional[str] = ..., tasks: _Optional[_Iterable[str]] = ..., categories: _Optional[_Iterable[str]] = ..., reasons: _Optional[bool] = ..., as_of_us: _Optional[int] = ...) -> None: ...

class ScoresBatchRequest(_message.Message):
    __slots__ = ("customer_ids", "tasks", "categories", "reasons", "as_of_us")
    CUSTOMER_IDS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    customer_ids: _containers.RepeatedScalarFieldContainer[str]
    tasks: _containers.RepeatedScalarFieldContainer[str]
    categories: _containers.RepeatedScalarFieldContainer[str]
    reasons: bool
    as_of_us: int
    def __init__(self, customer_ids: _Optional[_Iterable[str]] = ..., tasks: _Optional[_Iterable[str]] = ..., categories: _Optional[_Iterable[str]] = ..., reasons: _Optional[bool] = ..., as_of_us: _Optional[int] = ...) -> None: ...

class ScoresResponse(_message.Message):
    __slots__ = ("response_id", "customer_id", "scores", "value", "calibrated_at", "calibrated_to", "versions", "receipt", "degraded")
    RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATED_AT_FIELD_NUMBER: _ClassVar[int]
    CALIBRATED_TO_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    response_id: str
    customer_id: str
    scores: _containers.RepeatedCompositeFieldContainer[Score]
    value: LifetimeValue
    calibrated_at: str
    calibrated_to: str
    versions: Versions
    receipt: Receipt
    degraded: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, response_id: _Optional[str] = ..., customer_id: _Optional[str] = ..., scores: _Optional[_Iterable[_Union[Score, _Mapping]]] = ..., value: _Optional[_Union[LifetimeValue, _Mapping]] = ..., calibrated_at: _Optional[str] = ..., calibrated_to: _Optional[str] = ..., versions: _Optional[_Union[Versions, _Mapping]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., degraded: _Optional[_Iterable[str]] = ...) -> None: ...

class ScoresBatchResponse(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[ScoresResponse]
    def __init__(self, answers: _Optional[_Iterable[_Union[ScoresResponse, _Mapping]]] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("name", "task", "horizon_days", "probability", "reasons", "category")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    name: str
    task: str
    horizon_days: int
    probability: float
    reasons: _containers.RepeatedCompositeFieldContainer[FeatureReason]
    category: str
    def __init__(self, name: _Optional[str] = ..., task: _Optional[str] = ..., horizon_days: _Optional[int] = ..., probability: _Optional[float] = ..., reasons: _Optional[_Iterable[_Union[FeatureReason, _Mapping]]] = ..., category: _Optional[str] = ...) -> None: ...

class LifetimeValue(_message.Message):
    __slots__ = ("horizon_days", "expected_purchases", "value_cents", "alive_probability")
    HORIZON_DAYS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_PURCHASES_FIELD_NUMBER: _ClassVar[int]
    VALUE_CENTS_FIELD_NUMBER: _ClassVar[int]
    ALIVE_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    horizon_days: int
    expected_purchases: float
    value_cents: float
    alive_probability: float
    def __init__(self, horizon_days: _Optional[int] = ..., expected_purchases: _Optional[float] = ..., value_cents: _Optional[float] = ..., alive_probability: _Optional[float] = ...) -> None: ...

class TagsRequest(_message.Message):
    __slots__ = ("customer_id", "as_of_us")
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    customer_id: str
    as_of_us: int
    def __init__(self, customer_id: _Optional[str] = ..., as_of_us: _Optional[int] = ...) -> None: ...

class TagsResponse(_message.Message):
    __slots__ = ("tags", "receipt", "degraded")
    TAGS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.RepeatedCompositeFieldContainer[Tag]
    receipt: Receipt
    degraded: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tags: _Optional[_Iterable[_Union[Tag, _Mapping]]] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., degraded: _Optional[_Iterable[str]] = ...) -> None: ...

class Tag(_message.Message):
    __slots__ = ("code", "text_en", "text_zh")
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_EN_FIELD_NUMBER: _ClassVar[int]
    TEXT_ZH_FIELD_NUMBER: _ClassVar[int]
    code: str
    text_en: str
    text_zh: str
    def __init__(self, code: _Optional[str] = ..., text_en: _Optional[str] = ..., text_zh: _Optional[str] = ...) -> None: ...
