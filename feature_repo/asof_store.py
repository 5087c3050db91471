"""Feast's DuckDB offline store with a point-in-time join that does not grow with history.

Feast's own join pairs every entity row with every earlier row of that entity, wide columns
included, and then keeps one: 200,000 candidates of a shop with 100,000 events make two
hundred million pairs. DuckDB has a join for exactly this (ASOF), which pairs each row once.
The answers are the same, row by row; a contract test holds the two stores equal. One thing
differs on purpose: entity rows that are equal stay as many as they were.

Whatever this join does not cover (a SQL entity frame, no frame, sources that are not one
local Parquet file, renamed columns) goes to Feast's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
from feast.feature_view import FeatureView
from feast.infra.offline_stores import offline_utils
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from pydantic import StrictStr


class AsofDuckDBOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """Settings of the store; the type is the path by which Feast finds the class."""

    type: StrictStr = "feature_repo.asof_store.AsofDuckDBOfflineStore"


class AsofDuckDBOfflineStore(DuckDBOfflineStore):
    """Feast's DuckDB store; only historical retrieval differs, and only in speed."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """A job that joins each entity row with the newest row known at its instant."""
        joins = [
            ViewJoin.of(view, feature_refs, full_feature_names, filter_by_created_timestamp)
            for view in feature_views
        ]
        if not isinstance(entity_df, pd.DataFrame) or not all(joins):
            return DuckDBOfflineStore.get_historical_features(
                config,
                feature_views,
                feature_refs,
                entity_df,  # type: ignore[arg-type]
                registry,
                project,
                full_feature_names,
                filter_by_created_timestamp,
            )
        stamp = offline_utils.infer_event_timestamp_from_entity_df(
            dict(zip(entity_df.columns, entity_df.dtypes, strict=True))
        )
        return AsofJob(
            entity_df,
            stamp,
            [join for join in joins if join],
            OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            feature_refs,
            full_feature_names,
        )


@dataclass(frozen=True, slots=True)
class ViewJoin:
    """One feature view's part of a retrieval."""

    path: Path
    keys: Mapping[str, str]  # column of the view -> column of the entity frame
    event_timestamp: str
    created_timestamp: str
    visible_when_created: bool  # a row counts from its created timestamp, too
    ttl_us: int  # 0 where rows hold until the next
    columns: Mapping[str, str]  # column of the view -> its name in the answer

    @classmethod
    def of(
        cls,
        view: FeatureView,
        feature_refs: Sequence[str],
        full_feature_names: bool,
        filter_by_created_timestamp: bool,
    ) -> ViewJoin | None:
        """The join of one view, None where this store does not cover its source."""
        source = view.batch_source
        if not isinstance(source, FileSource) or source.field_mapping:
            return None
        if view.projection.version_tag is not None:
            return None
        path = Path(source.path)
        if not path.is_absolute() or not path.is_file():
            return None
        alias = view.projection.name_alias or view.name
        prefix = f"{alias}:"
        shown = f"{alias}__" if full_feature_names else ""
        wanted = [ref.removeprefix(prefix) for ref in feature_refs if ref.startswith(prefix)]
        return cls(
            path=path,
            keys=view.projection.join_key_map
            or {column.name: column.name for column in view.entity_columns},
            event_timestamp=source.timestamp_field,
            created_timestamp=source.created_timestamp_column or "",
            visible_when_created=bool(
                filter_by_created_timestamp and source.created_timestamp_column
            ),
            ttl_us=int(view.ttl.total_seconds() * 1_000_000) if view.ttl else 0,
            columns={name: f"{shown}{name}" for name in wanted},
        )

    def sql(self) -> str:
        """A query over `entities(row, at_us, keys)` that answers one row for each, in order.

        First it picks row numbers only, then it fetches the wide columns of those rows.
        """
        rows = f"read_parquet({_text(str(self.path))}, file_row_number = true)"
        event = _micros(self.event_timestamp)
        created = _micros(self.created_timestamp) if self.created_timestamp else "0"
        visible = f"greatest({event}, {created})" if self.visible_when_created else event
        keys = ", ".join(f"{_name(key)} as k{place}" for place, key in enumerate(self.keys))
        by_key = ", ".join(f"k{place}" for place in range(len(self.keys)))
        same_key = " and ".join(f"e.k{n} = s.k{n}" for n in range(len(self.keys)))
        alive = f"case when s.event_us + {self.ttl_us} >= e.at_us then s.n end"
        wanted = ", ".join(
            f"w.{_name(column)} as {_name(shown)}" for column, shown in self.columns.items()
        )
        # A row that becomes visible after a newer one of its entity never is the newest.
        return f"""
            with source as (
                select {keys}, {event} as event_us, {created} as created_us,
                       {visible} as visible_us, file_row_number as n
                from {rows}
            ), standing as (
                select * from source
                qualify row_number() over (
                            partition by {by_key}, visible_us
                            order by event_us desc, created_us desc, n desc) = 1
                    and event_us >= max(event_us) over (
                            partition by {by_key} order by visible_us
                            range between unbounded preceding and current row)
            ), matched as (
                select e.row, {alive if self.ttl_us else "s.n"} as n
                from entities e asof left join standing s
                on {same_key} and e.at_us >= s.visible_us
            )
            select {wanted} from matched m left join {rows} w on m.n = w.file_row_number
            order by m.row
        """  # noqa: S608 - names are quoted, values come from the registry


class AsofJob(RetrievalJob):
    """A retrieval that runs when it is asked for its rows; they come in the frame's order."""

    def __init__(
        self,
        entity_df: pd.DataFrame,
        event_timestamp: str,
        joins: Sequence[ViewJoin],
        on_demand_feature_views: list[OnDemandFeatureView],
        feature_refs: list[str],
        full_feature_names: bool,
    ) -> None:
        super().__init__()
        self._entities = entity_df.reset_index(drop=True)
        self._stamps = pd.to_datetime(self._entities[event_timestamp], utc=True)
        self._joins = joins
        self._on_demand = on_demand_feature_views
        self._full_feature_names = full_feature_names
        self._metadata = RetrievalMetadata(
            features=feature_refs,
            keys=sorted(set(entity_df.columns) - {event_timestamp}),
            min_event_timestamp=self._stamps.min(),
            max_event_timestamp=self._stamps.max(),
        )

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        answer = pa.Table.from_pandas(self._entities, preserve_index=False)
        at_us = self._stamps.dt.as_unit("us").astype("int64")
        with duckdb.connect() as connection:
            # DuckDB refuses the setting in a notebook without ipywidgets, where it draws no bar.
            with contextlib.suppress(duckdb.InvalidInputException):
                connection.execute("set enable_progress_bar = false")
            connection.execute("set TimeZone = 'UTC'")  # What a timestamp without a zone is in.
            for join in self._joins:
                if not join.columns:
                    continue
                keys = {
                    f"k{place}": answer.column(column)
                    for place, column in enumerate(join.keys.values())
                }
                rows = pa.array(range(len(at_us)), pa.int64())
                entities = pa.table({"row": rows, "at_us": pa.array(at_us), **keys})
                connection.register("entities", entities)
                found = connection.sql(join.sql()).to_arrow_table()
                for name in found.column_names:
                    answer = answer.append_column(name, found.column(name))
        return answer

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata:
        return self._metadata

    def persist(
        self, storage: Any, allow_overwrite: bool = False, timeout: int | None = None
    ) -> None:
        """Not offered: write the answer where you want it with `to_arrow()`."""
        raise NotImplementedError("write the result of to_arrow() to the file of your choice")


def _micros(column: str) -> str:
    return f"epoch_us({_name(column)}::timestamptz)"


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
