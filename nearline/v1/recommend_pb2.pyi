from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecommendRequest(_message.Message):
    __slots__ = ("customer_id", "scene", "k", "exclude_item_ids", "as_of_us", "bundle")
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    SCENE_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    customer_id: str
    scene: str
    k: int
    exclude_item_ids: _containers.RepeatedScalarFieldContainer[str]
    as_of_us: int
    bundle: str
    def __init__(self, customer_id: _Optional[str] = ..., scene: _Optional[str] = ..., k: _Optional[int] = ..., exclude_item_ids: _Optional[_Iterable[str]] = ..., as_of_us: _Optional[int] = ..., bundle: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("item_id", "rank", "score", "sources", "reasons", "category", "price_cents")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PRICE_CENTS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    rank: int
    score: float
    sources: _containers.RepeatedScalarFieldContainer[str]
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    category: str
    price_cents: int
    def __init__(self, item_id: _Optional[str] = ..., rank: _Optional[int] = ..., score: _Optional[float] = ..., sources: _Optional[_Iterable[str]] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., category: _Optional[str] = ..., price_cents: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("rule", "affected", "note")
    RULE_FIELD_NUMBER: _ClassVar[int]
    AFFECTED_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    rule: str
    affected: int
    note: str
    def __init__(self, rule: _Optional[str] = ..., affected: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("log_position", "as_of_us", "newest_event_at_us", "newest_event_age_ms", "features_age_ms")
    LOG_POSITION_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    NEWEST_EVENT_AT_US_FIELD_NUMBER: _ClassVar[int]
    NEWEST_EVENT_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    log_position: str
    as_of_us: int
    newest_event_at_us: int
    newest_event_age_ms: float
    features_age_ms: float
    def __init__(self, log_position: _Optional[str] = ..., as_of_us: _Optional[int] = ..., newest_event_at_us: _Optional[int] = ..., newest_event_age_ms: _Optional[float] = ..., features_age_ms: _Optional[float] = ...) -> None: ...

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
    reasons: _containers.RepeatedCompositeFieldContainer[ChurnReason]
    def __init__(self, horizon_days: _Optional[int] = ..., probability: _Optional[float] = ..., reasons: _Optional[_Iterable[_Union[ChurnReason, _Mapping]]] = ...) -> None: ...

class ChurnReason(_message.Message):
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
