"""Entities, sources, views and services, declared once.

The stored views hold each entity's *state*: what adds. The on-demand views finish it into
features at the instant that the request names, by the function that training and serving
call, so a window of an idle customer falls to zero by itself.

Online, the stream worker and the backfill write the stored views, in Feast's own layout and
by one script (`nearline.online`). Nothing pushes or materialises them: Feast's writer drops
rows by timestamp and would race with it. Offline, `nearline features snapshot` writes the
files that the sources point at.
"""

from __future__ import annotations

import feature_repo.quiet  # noqa: F401 - before Feast

# isort: split
import inspect
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.data_format import ParquetFormat
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.types import Array, FeastType, Float64, Int64, String

from feature_repo.finishing import AS_OF, CUSTOMER, ITEM, Profile, customer_features, item_features
from nearline.offline import CREATED_TIMESTAMP, EVENT_TIMESTAMP, source_path
from nearline.transforms import catalogue
from nearline.transforms.columns import ColumnType

_TYPES: dict[ColumnType, FeastType] = {
    "int": Int64,
    "str": String,
    "ints": Array(Int64),
    "strs": Array(String),
}


class FinishedView(OnDemandFeatureView):
    """An on-demand view that believes its declaration.

    Feast probes the function with lists of length one. One number is no row of buckets, so
    the probe would fail on sound code; the tests run the function on real states instead.
    """

    def infer_features(self) -> None:
        """Keep the declared schema."""


@dataclass(frozen=True, slots=True)
class Definitions:
    """Everything that `apply` registers."""

    customer: Entity
    item: Entity
    request: RequestSource
    customer_rows: FileSource
    item_rows: FileSource
    customer_activity: FeatureView
    item_activity: FeatureView
    customer_features: FinishedView
    item_features: FinishedView
    customer_profile_v1: FeatureService
    item_profile_v1: FeatureService

    def objects(self) -> list[Any]:
        return [getattr(self, field.name) for field in fields(self)]


def build(offline: Path) -> Definitions:
    """The definitions, with sources that read the snapshot in a folder."""
    customer = Entity(
        name="customer",
        join_keys=[CUSTOMER.layout.join_key],
        value_type=ValueType.STRING,
        description="Who acts: a person, known by the id that the shop gives.",
    )
    item = Entity(
        name="item",
        join_keys=[ITEM.layout.join_key],
        value_type=ValueType.STRING,
        description="What is looked at and bought, known by the id that the shop gives.",
    )
    request = RequestSource(
        name="request",
        schema=[Field(name=AS_OF, dtype=Int64)],
        description="The instant at which windows end, UTC microseconds since the epoch.",
    )
    customer_rows = _source(CUSTOMER, offline)
    item_rows = _source(ITEM, offline)
    customer_activity = _stored(CUSTOMER, customer, customer_rows, catalogue.CUSTOMER_COLUMNS)
    item_activity = _stored(ITEM, item, item_rows, catalogue.ITEM_COLUMNS)
    customer_finished = _finished(CUSTOMER, customer_activity, request, customer_features)
    item_finished = _finished(ITEM, item_activity, request, item_features)
    return Definitions(
        customer=customer,
        item=item,
        request=request,
        customer_rows=customer_rows,
        item_rows=item_rows,
        customer_activity=customer_activity,
        item_activity=item_activity,
        customer_features=customer_finished,
        item_features=item_finished,
        customer_profile_v1=FeatureService(
            name=CUSTOMER.service,
            features=[customer_finished],
            description="A customer's features; churn and the ranker read them.",
        ),
        item_profile_v1=FeatureService(
            name=ITEM.service,
            features=[item_finished],
            description="An item's features; the ranker reads them.",
        ),
    )


def _source(profile: Profile, offline: Path) -> FileSource:
    view = profile.layout.view
    return FileSource(
        name=f"{view}_rows",
        path=str(source_path(offline, view)),
        timestamp_field=EVENT_TIMESTAMP,
        created_timestamp_column=CREATED_TIMESTAMP,
        file_format=ParquetFormat(),
        description="One row for each change of state; written by `nearline features snapshot`.",
    )


def _stored(
    profile: Profile, entity: Entity, source: FileSource, meanings: dict[str, str]
) -> FeatureView:
    key = Field(name=profile.layout.join_key, dtype=String)
    columns = [
        Field(name=name, dtype=_TYPES[type_], description=meanings[name])
        for name, type_ in profile.layout.columns.items()
    ]
    return FeatureView(
        name=profile.layout.view,
        entities=[entity],
        ttl=timedelta(0),  # A state holds until the next change, however long that takes.
        schema=[key, *columns],
        source=source,
        online=True,
        description="State that adds. Written online by the stream worker alone, never by Feast.",
    )


def _finished(
    profile: Profile, stored: FeatureView, request: RequestSource, function: Any
) -> FinishedView:
    return FinishedView(
        name=profile.view,
        sources=[stored, request],
        # Feast forgets the descriptions of such fields when it reads its registry, and then
        # refuses the service for differing; so each meaning is a tag of the view.
        schema=[Field(name=name, dtype=Float64) for name in profile.names],
        tags={f.name: f"{f.en} ({f.unit}; {f.window})" for f in profile.features},
        # Python mode would be faster, but it ignores full names, and some are needed.
        mode="pandas",
        udf=function,
        udf_string=inspect.getsource(function),
        description="Features as of an instant, finished from the state at read time.",
    )
