"""Point-in-time joins: Feast's answers, no row lost, nothing from the future."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from nearline import offline
from nearline.errors import PermanentError
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW
from nearline.settings import Settings
from nearline.transforms import customer, item
from nearline.transforms.buckets import DAY_US, HOUR_US
from tests.unit.features.test_offline_rows import NOON_US, event, seeded, write

pytestmark = [
    pytest.mark.slow,
    # Feast's own store: ibis and DuckDB speak through a name that DuckDB has renamed.
    pytest.mark.filterwarnings("ignore:fetch_arrow_table.. is deprecated:DeprecationWarning"),
]

EVENTS = seeded(11, 400)
FIRST_US, LAST_US = EVENTS[0].known_at_us, EVENTS[-1].known_at_us
PEOPLE, THINGS = "customer_profile_v1", "item_profile_v1"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """History and its snapshot; retrieval from the past needs no Redis."""
    settings = Settings(home=tmp_path_factory.mktemp("home"), redis_port=1)
    write(settings.history, EVENTS)
    offline.snapshot(settings.history, settings.offline)
    return settings


@pytest.fixture(scope="module")
def past(home: Settings) -> Any:
    from feature_repo.retrieval import apply

    return apply(home)


def asked(key: str, names: list[str], count: int, seed: int) -> pd.DataFrame:
    rng = random.Random(seed)
    instants = [
        rng.choice([rng.choice(EVENTS).known_at_us, rng.randrange(FIRST_US - DAY_US, LAST_US)])
        for _ in range(count)
    ]
    return pd.DataFrame({key: rng.choices(names, k=count), "as_of_us": instants})


def assert_same_bits(values: pd.Series, expected: dict[str, float]) -> None:
    got = values[list(expected)].to_numpy(dtype="float64")
    want = np.array(list(expected.values()))
    np.testing.assert_array_equal(
        got.view("int64")[~np.isnan(want)], want.view("int64")[~np.isnan(want)]
    )
    assert np.isnan(got[np.isnan(want)]).all()


def test_customers_are_read_as_they_were_known_at_each_instant(past: Any) -> None:
    from feature_repo.retrieval import historical

    rows = asked("customer_id", ["ada", "ben", "客户", "stranger"], 300, seed=1)

    answer = historical(past, rows, PEOPLE)

    assert len(answer) == len(rows)
    for number, row in rows.iterrows():
        known = [
            e
            for e in EVENTS
            if e.known_at_us <= row["as_of_us"] and e.customer_id == row["customer_id"]
        ]
        assert_same_bits(answer.loc[number], customer.finish(customer.fold(known), row["as_of_us"]))


def test_items_are_read_as_they_were_known_at_each_instant(past: Any) -> None:
    from feature_repo.retrieval import historical

    rows = asked("item_id", ["lamp", "shoe", "é", "nothing"], 200, seed=2)

    answer = historical(past, rows, THINGS)

    for number, row in rows.iterrows():
        known = [e for e in EVENTS if e.known_at_us <= row["as_of_us"]]
        state = item.fold(row["item_id"], known)
        assert_same_bits(answer.loc[number], item.finish(state, row["as_of_us"]))


def test_no_row_is_lost_where_the_file_store_loses_them(past: Any) -> None:
    from feature_repo.retrieval import historical

    # Equal rows, a stranger, and an instant before the first event: FACTS saw 2 of 6 remain.
    rows = pd.DataFrame(
        {
            "customer_id": ["ada", "ada", "ada", "stranger", "ben", "ada"],
            "as_of_us": [LAST_US, LAST_US, LAST_US, LAST_US, FIRST_US - 1, FIRST_US - DAY_US],
            "item_shown": ["a", "b", "c", "d", "e", "f"],
        }
    )

    answer = historical(past, rows, PEOPLE)

    assert answer["item_shown"].tolist() == ["a", "b", "c", "d", "e", "f"]
    assert answer["views_total"].iloc[0] == answer["views_total"].iloc[2] > 0
    assert answer["views_total"].iloc[3:].tolist() == [0.0, 0.0, 0.0]


def test_rows_keep_their_order_their_index_and_their_other_columns(
    past: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feature_repo import retrieval

    monkeypatch.setattr(retrieval, "_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(retrieval, "_STATES_AT_ONCE", 3)
    rows = asked("customer_id", ["ada", "ben", "客户"], 50, seed=3)
    rows["label"] = range(50)
    rows.index = pd.Index(range(100, 0, -2))
    done: list[int] = []

    answer = retrieval.historical(past, rows, PEOPLE, done.append)

    pd.testing.assert_frame_equal(answer[list(rows.columns)], rows)
    assert sum(done) == 50
    whole = {name: len(set(answer[name])) for name in ("views_total", "tenure_days")}
    assert min(whole.values()) > 1


def test_the_states_come_in_the_order_of_the_rows(past: Any) -> None:
    from feature_repo.retrieval import customer_states

    rows = asked("customer_id", ["ada", "ben"], 20, seed=4)

    for state, row in zip(customer_states(past, rows), rows.itertuples(), strict=True):
        own = [e for e in EVENTS if e.customer_id == row.customer_id]
        assert state == customer.fold([e for e in own if e.known_at_us <= row.as_of_us])


def test_a_snapshot_of_before_there_were_facts_reads_as_none_stated(tmp_path: Path) -> None:
    from feature_repo.retrieval import apply, item_states

    settings = Settings(home=tmp_path, redis_port=1)
    write(settings.history, EVENTS[:60])
    offline.snapshot(settings.history, settings.offline)
    rows = pd.DataFrame({"item_id": ["lamp", "shoe"], "as_of_us": [LAST_US, LAST_US]})
    whole = list(item_states(apply(settings), rows))
    path = offline.source_path(settings.offline, ITEM_VIEW.view)
    pq.write_table(pq.read_table(path).drop_columns(["facts"]), path)

    found = list(item_states(apply(settings), rows))

    assert all(state.facts for state in whole)
    assert found == [replace(state, facts=()) for state in whole]


def test_feasts_own_retrieval_of_the_service_gives_the_same_numbers(past: Any) -> None:
    from feature_repo.finishing import CUSTOMER
    from feature_repo.retrieval import historical

    rows = asked("customer_id", ["ada", "ben", "stranger"], 40, seed=5)
    rows["event_timestamp"] = pd.to_datetime(rows["as_of_us"], unit="us", utc=True)
    ours = historical(past, rows, PEOPLE)

    feasts = past.get_historical_features(
        entity_df=rows, features=past.get_feature_service(PEOPLE), full_feature_names=True
    ).to_df()

    for name in CUSTOMER.names:
        np.testing.assert_array_equal(ours[name], feasts[f"customer_features__{name}"])


def test_a_value_written_after_the_instant_does_not_leak(home: Settings, tmp_path: Path) -> None:
    from feature_repo.retrieval import apply, historical

    settings = Settings(home=tmp_path, redis_port=1)
    write(settings.history, [event(1, NOON_US), event(2, NOON_US + DAY_US)])
    offline.snapshot(settings.history, settings.offline)
    path = offline.source_path(settings.offline, CUSTOMER_VIEW.view)
    # Plant a leak: the second state claims to be as old as the first hour, but was written
    # a day later.
    table = pq.read_table(path)
    stamps = pa.array([NOON_US, NOON_US + HOUR_US], pa.int64()).cast(pa.timestamp("us"))
    column = table.schema.get_field_index("event_timestamp")
    pq.write_table(
        table.set_column(column, "event_timestamp", stamps.cast(pa.timestamp("us", "UTC"))), path
    )
    store = apply(settings)
    rows = pd.DataFrame({"customer_id": ["ada", "ada"]})
    rows["as_of_us"] = [NOON_US + 2 * HOUR_US, NOON_US + 2 * DAY_US]

    read = historical(store, rows, PEOPLE)["views_total"].tolist()

    rows["event_timestamp"] = pd.to_datetime(rows["as_of_us"], unit="us", utc=True)
    leaked = (
        store.get_historical_features(
            entity_df=rows.drop(columns="as_of_us"), features=["customer_activity:views_total"]
        )
        .to_df()["views_total"]
        .tolist()
    )
    assert read == [1.0, 2.0]
    assert leaked == [2, 2], "without the filter the leak shows: the test can see one"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"customer_id": ["ada"]}, "neither as_of_us nor event_timestamp"),
        (
            {"customer_id": ["ada"], "event_timestamp": [pd.Timestamp("2026-01-01")]},
            "needs a time zone",
        ),
        (
            {
                "customer_id": ["ada"],
                "as_of_us": [5],
                "event_timestamp": [pd.Timestamp("2026-01-01", tz="UTC")],
            },
            "different instants in 1 rows",
        ),
        ({"customer_id": ["ada"], "as_of_us": [5], "views_7d": [1.0]}, "label_views_7d"),
    ],
)
def test_rows_that_cannot_be_answered_are_refused_with_what_to_do(
    past: Any, rows: dict[str, list[Any]], words: str
) -> None:
    from feature_repo.retrieval import historical

    with pytest.raises(PermanentError, match=words):
        historical(past, pd.DataFrame(rows), PEOPLE)


def test_without_a_snapshot_it_says_how_to_make_one(tmp_path: Path) -> None:
    from feature_repo.retrieval import apply, historical

    store = apply(Settings(home=tmp_path, redis_port=1))

    with pytest.raises(offline.NoSnapshot, match="nearline features snapshot"):
        historical(store, pd.DataFrame({"customer_id": ["ada"], "as_of_us": [5]}), PEOPLE)


def test_an_answer_with_other_rows_than_asked_is_refused(
    past: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feature_repo import asof_store
    from feature_repo.retrieval import RowsLost, historical

    whole = asof_store.AsofJob._to_arrow_internal
    monkeypatch.setattr(
        asof_store.AsofJob, "_to_arrow_internal", lambda self, timeout=None: whole(self).slice(1)
    )

    with pytest.raises(RowsLost):
        historical(past, asked("customer_id", ["ada"], 5, seed=6), PEOPLE)


# --- The ASOF store against Feast's own.


def make_store(folder: Path, kind: str, ttl: timedelta) -> Any:
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.repo_config import RepoConfig
    from feast.types import Array, Int64, String

    folder.mkdir(exist_ok=True)
    config = {
        "project": "contract",
        "provider": "local",
        "registry": str(folder / f"{kind.rsplit('.', 1)[-1]}.db"),
        "online_store": {"type": "sqlite", "path": str(folder / "online.db")},
        "offline_store": {"type": kind},
        "entity_key_serialization_version": 3,
    }
    store = FeatureStore(config=RepoConfig(**config))
    who = Entity(name="who", join_keys=["who"], value_type=ValueType.STRING)
    where = Entity(name="where", join_keys=["where"], value_type=ValueType.STRING)
    views = [
        FeatureView(
            name=name,
            entities=entities,
            ttl=ttl,
            schema=[
                *(Field(name=e.name, dtype=String) for e in entities),
                Field(name="number", dtype=Int64),
                Field(name="words", dtype=Array(String)),
            ],
            source=FileSource(
                name=f"{name}_rows",
                path=str(folder / f"{name}.parquet"),
                timestamp_field="at",
                created_timestamp_column="written",
            ),
        )
        for name, entities in (("one", [who]), ("two", [who, where]))
    ]
    store.apply([who, where, *views])
    return store


def write_random_rows(folder: Path, name: str, rng: random.Random, keys: list[str]) -> None:
    count = 400
    # Few instants and few entities, so that ties, gaps and late writing all happen. Rows that
    # tie in everything cannot be told apart by either store, so `written` is made unique.
    at = [rng.randrange(60) for _ in range(count)]
    written = rng.sample(range(1_000_000), count)
    base = pd.Timestamp("2026-01-01", tz="UTC")
    frame = pd.DataFrame({key: rng.choices("abcdé", k=count) for key in keys})
    frame["at"] = [base + pd.Timedelta(minutes=minute) for minute in at]
    frame["written"] = [
        base + pd.Timedelta(minutes=minute * rng.choice([1, 1, 2]), microseconds=tie)
        for minute, tie in zip(at, written, strict=True)
    ]
    frame["number"] = range(count)
    frame["words"] = [rng.choices("xyz", k=rng.randrange(3)) for _ in range(count)]
    frame.to_parquet(folder / f"{name}.parquet")


@pytest.fixture
def two_stores(tmp_path: Path) -> Any:
    def make(ttl: timedelta) -> tuple[Any, Any]:
        rng = random.Random(8)
        folder = tmp_path / "contract"
        folder.mkdir(exist_ok=True)
        write_random_rows(folder, "one", rng, ["who"])
        write_random_rows(folder, "two", rng, ["who", "where"])
        asof = "feature_repo.asof_store.AsofDuckDBOfflineStore"
        return make_store(folder, asof, ttl), make_store(folder, "duckdb", ttl)

    return make


@pytest.mark.parametrize("by_created", [False, True], ids=["as written", "as visible"])
@pytest.mark.parametrize("ttl_minutes", [0, 10], ids=["no ttl", "ttl"])
@pytest.mark.parametrize("full_names", [False, True], ids=["short", "full"])
def test_the_asof_join_answers_as_feasts_own_store(
    two_stores: Any, by_created: bool, ttl_minutes: int, full_names: bool
) -> None:
    ours, feasts = two_stores(timedelta(minutes=ttl_minutes))
    rng = random.Random(9)
    base = pd.Timestamp("2026-01-01", tz="UTC")
    rows = pd.DataFrame({"who": rng.choices("abcdéz", k=300), "where": rng.choices("abz", k=300)})
    rows["event_timestamp"] = [base + pd.Timedelta(seconds=s) for s in rng.sample(range(7200), 300)]
    rows["mine"] = range(300)
    features = (
        ["one:number", "one:words", "two:number"] if full_names else ["one:number", "two:words"]
    )

    def ask(store: Any) -> pd.DataFrame:
        job = store.get_historical_features(
            entity_df=rows.copy(),
            features=features,
            full_feature_names=full_names,
            filter_by_created_timestamp=by_created,
        )
        frame: pd.DataFrame = job.to_df().sort_values("mine").reset_index(drop=True)
        lists = [name for name in frame.columns if name.endswith("words")]
        for name in lists:
            frame[name] = [None if value is None else tuple(value) for value in frame[name]]
        return frame

    left, right = ask(ours), ask(feasts)
    assert len(left) == len(right) == len(rows)
    pd.testing.assert_frame_equal(left, right[list(left.columns)], check_dtype=False)
    assert left[left.columns[-1]].notna().sum() > 50


def test_what_the_asof_join_does_not_cover_goes_to_feasts_own(tmp_path: Path) -> None:
    from feast import FeatureView, FileSource

    from feature_repo.asof_store import ViewJoin

    view = FeatureView(name="far", source=FileSource(name="far", path="s3://bucket/far.parquet",
                                                     timestamp_field="at"))  # fmt: skip

    assert ViewJoin.of(view, ["far:x"], False, False) is None


def test_the_yaml_names_every_part_of_the_embedded_store(home: Settings) -> None:
    from feature_repo.retrieval import config_of

    config = config_of(home)

    assert config.project == "nearline"
    assert config.registry.path == str(home.registry)
    assert config.online_store.connection_string == "127.0.0.1:1"
    assert config.offline_store.type == "feature_repo.asof_store.AsofDuckDBOfflineStore"
    assert config.entity_key_serialization_version == 3


def test_the_cluster_profile_is_a_valid_configuration(home: Settings) -> None:
    from feast.repo_config import RepoConfig

    from feature_repo.retrieval import PROFILE

    text = PROFILE.with_name("feature_store.cluster.yaml").read_text()
    text = text.replace("${NEARLINE_FEAST_REDIS}", "one:6379,two:6379").replace(
        "${NEARLINE_FEAST_REGISTRY}", "postgresql+psycopg://u:p@host/feast"
    )

    config = RepoConfig(**yaml.safe_load(text))

    assert config.online_store.redis_type == "redis_cluster"
    assert config.registry.cache_mode == "thread"
    assert config.offline_store.type == "feature_repo.asof_store.AsofDuckDBOfflineStore"
