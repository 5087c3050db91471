"""Features from the store, for people and for training: online now, or as of any instant."""

from __future__ import annotations

import feature_repo.quiet  # noqa: F401 - before Feast

# isort: split
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from feast import FeatureStore, FileSource
from feast.repo_config import RepoConfig

from feature_repo.environment import variables
from feature_repo.finishing import AS_OF, CUSTOMER, ITEM, PROFILES, Profile
from feature_repo.views import build
from nearline.errors import PermanentError
from nearline.offline import EVENT_TIMESTAMP, NoSnapshot
from nearline.settings import Settings
from nearline.transforms.columns import ColumnType
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState

PROFILE = Path(__file__).with_name("feature_store.yaml")
_ROW = "nearline_entity_row"  # Carried through Feast, to prove that no row was lost or moved.
_ROWS_AT_ONCE = 25_000  # One join; about 75 MB of item states.
_STATES_AT_ONCE = 2_000


class RowsLost(PermanentError):
    """A point-in-time join answered other rows than it was asked for."""

    def __init__(self, asked: int, answered: int) -> None:
        self.asked, self.answered = asked, answered
        super().__init__(
            f"the offline store was asked for {asked} rows and answered {answered} others: "
            "check that feature_store.yaml names the DuckDB store, the file store loses rows"
        )


def config_of(settings: Settings, profile: Path = PROFILE) -> RepoConfig:
    """A profile's configuration, with the settings in its variables."""
    text = Template(profile.read_text()).substitute(variables(settings))
    return RepoConfig(**yaml.safe_load(text))


def open_store(settings: Settings) -> FeatureStore:
    """The feature store; opens no connection until it is read."""
    return FeatureStore(config=config_of(settings))


def apply(settings: Settings) -> FeatureStore:
    """Register every definition, or bring the registry up to date; safe to repeat."""
    settings.registry.parent.mkdir(parents=True, exist_ok=True)
    store = open_store(settings)
    with warnings.catch_warnings():
        # "On demand feature view is experimental", at each apply.
        warnings.simplefilter("ignore", RuntimeWarning)
        store.apply(build(settings.offline).objects())
    return store


def historical(
    store: FeatureStore,
    entities: pd.DataFrame,
    service: str,
    progress: Callable[[int], object] = lambda rows: None,
) -> pd.DataFrame:
    """The rows of `entities` in their order, with the service's features as of each row.

    `entities` needs the join key (`customer_id` or `item_id`) and the instant: `as_of_us`,
    an aware `event_timestamp`, or both in agreement; other columns are passed through. The
    features are float64, NaN where one does not exist; an entity without events by then gets
    what a stranger gets online. Only what was known by the instant is read.
    """
    profile = PROFILES[service]
    taken = sorted(set(entities.columns) & set(profile.names))
    if taken:
        raise PermanentError(
            f"columns {taken} are named like features of {service}: rename them, for example "
            f"to label_{taken[0]}"
        )
    as_of_us = instants(entities)
    values: list[list[float]] = []
    for state, instant_us in zip(_states(store, entities, profile), as_of_us, strict=True):
        values.append(list(profile.finish(state, instant_us).values()))
        if len(values) % _STATES_AT_ONCE == 0:
            progress(_STATES_AT_ONCE)
    progress(len(values) % _STATES_AT_ONCE)
    features = pd.DataFrame(values, columns=profile.names, index=entities.index, dtype="float64")
    return pd.concat([entities, features], axis=1)


def customer_states(store: FeatureStore, entities: pd.DataFrame) -> Iterator[CustomerState]:
    """Each row's customer as it was known at the row's instant; columns as for `historical`."""
    return _states(store, entities, CUSTOMER)


def item_states(store: FeatureStore, entities: pd.DataFrame) -> Iterator[ItemState]:
    """Each row's item as it was known at the row's instant; columns as for `historical`."""
    return _states(store, entities, ITEM)


def online(store: FeatureStore, service: str, entity_ids: list[str], as_of_us: int) -> pd.DataFrame:
    """Features as the Feast SDK reads them online, finished at an instant; one row an entity."""
    profile = PROFILES[service]
    answer = store.get_online_features(
        features=store.get_feature_service(service),
        entity_rows=[{profile.layout.join_key: name, AS_OF: as_of_us} for name in entity_ids],
        full_feature_names=True,  # Short names clash with stored columns such as views_total.
    ).to_dict()
    columns = {name: answer[f"{profile.view}__{name}"] for name in profile.names}
    return pd.DataFrame(columns, dtype="float64")


def instants(entities: pd.DataFrame) -> list[int]:
    """The instant of each row in UTC microseconds; refuses rows that name two."""
    stamps: list[int] | None = None
    if EVENT_TIMESTAMP in entities.columns:
        column = entities[EVENT_TIMESTAMP]
        if not isinstance(column.dtype, pd.DatetimeTZDtype):
            raise PermanentError(
                f"{EVENT_TIMESTAMP} is {column.dtype}: an instant needs a time zone, such as "
                "pd.to_datetime(..., utc=True)"
            )
        stamps = column.dt.as_unit("us").astype("int64").tolist()
    if AS_OF not in entities.columns:
        if stamps is None:
            raise PermanentError(f"the rows have neither {AS_OF} nor {EVENT_TIMESTAMP}: name one")
        return stamps
    as_of_us = [int(value) for value in entities[AS_OF]]
    if stamps is not None and stamps != as_of_us:
        differing = sum(a != b for a, b in zip(stamps, as_of_us, strict=True))
        raise PermanentError(
            f"{AS_OF} and {EVENT_TIMESTAMP} name different instants in {differing} rows: "
            "windows would end at one and rows be chosen at the other. Leave one out."
        )
    return as_of_us


def _states(store: FeatureStore, entities: pd.DataFrame, profile: Profile) -> Iterator[Any]:
    key = profile.layout.join_key
    as_of_us = instants(entities)
    asked = pd.DataFrame(
        {
            key: entities[key].astype("object").to_numpy(),
            EVENT_TIMESTAMP: pd.to_datetime(as_of_us, unit="us", utc=True),
            _ROW: range(len(entities)),
        }
    )
    for start in range(0, len(asked), _ROWS_AT_ONCE):
        table = _join(store, asked.iloc[start : start + _ROWS_AT_ONCE], profile)
        for at in range(0, table.num_rows, _STATES_AT_ONCE):
            yield from _parsed(table.slice(at, _STATES_AT_ONCE), profile)


def _join(store: FeatureStore, asked: pd.DataFrame, profile: Profile) -> pa.Table:
    """One point-in-time join: the stored columns of each row, in order, no row missing.

    A snapshot of an earlier version may lack columns that the view has gained since.
    """
    view = profile.layout.view
    source = store.get_feature_view(view).batch_source
    path = Path(source.path if isinstance(source, FileSource) else view)
    if not path.is_file():
        raise NoSnapshot(path)
    held = set(pq.read_schema(path).names)
    table: pa.Table = store.get_historical_features(
        entity_df=asked,
        features=[f"{view}:{name}" for name in profile.layout.columns if name in held],
        full_feature_names=True,
        filter_by_created_timestamp=True,  # Without it, what was written later leaks in.
    ).to_arrow()
    table = table.sort_by(_ROW)
    if table.column(_ROW).to_pylist() != asked[_ROW].tolist():
        raise RowsLost(len(asked), table.num_rows)
    return table


def _parsed(table: pa.Table, profile: Profile) -> Iterator[Any]:
    columns = {
        name: _values(table.column(shown), type_)
        for name, type_ in profile.layout.columns.items()
        if (shown := f"{profile.layout.view}__{name}") in table.column_names
    }
    for row in zip(*columns.values(), strict=True):
        yield profile.state_of(dict(zip(columns, row, strict=True)))


def _values(column: pa.ChunkedArray, type_: ColumnType) -> list[Any]:
    """A column as Python values; a null list as an empty one. Lists are cut from one flat list."""
    array = column.combine_chunks()
    if type_ in ("int", "str"):
        values: list[Any] = array.to_pylist()
        return values
    flat = array.flatten().to_pylist() if type_ == "strs" else array.flatten().to_numpy().tolist()
    cuts: list[Any] = []
    at = 0
    for length in array.value_lengths().fill_null(0).to_pylist():
        cuts.append(flat[at : at + length])
        at += length
    return cuts
