"""From one training run to what serving loads: registered, aliased, verified, refused."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import xgboost

from nearline import registry
from nearline.contracts.bundle import (
    CHALLENGER,
    CHAMPION,
    LIFETIME,
    PREVIOUS,
    BundleRefused,
    Task,
    digests_of,
    verify,
)
from nearline.errors import PermanentError
from nearline.transforms import customer
from nearline.transforms.buckets import DAY_US, HOUR_US
from nearline.transforms.candidates import encoder_input
from nearline.transforms.ranking import RANKER_FEATURES
from serving.arrivals import Stock
from serving.bundles import load
from serving.finding import find
from serving.items import ItemTable
from tests.integration.training.conftest import TrainedShop
from tests.unit.training.histories import START_US, met
from tests.unit.training.test_retrieval import asked_by
from training import gate, promotion
from training.retrieval import NOTHING_LATER, Retriever
from training.tracking import Registry

pytestmark = pytest.mark.slow

NOTHING_ASKED = "rules: []\n"


@pytest.fixture(scope="session")
def fetched(trained: TrainedShop) -> Path:
    """The challenger's bundle, through MLflow, as serving gets it."""
    uri = trained.settings.mlflow_uri
    version = registry.resolve(uri, CHALLENGER)
    assert version == trained.version
    return registry.download(uri, version, trained.settings.bundles)


def test_a_run_registers_one_verified_bundle_as_challenger(
    trained: TrainedShop, fetched: Path
) -> None:
    manifest = verify(fetched, trained.version)

    assert manifest.items == 40
    assert manifest.encoder.history_length == 20
    assert manifest.ranker_features == list(RANKER_FEATURES)
    # No event of this shop states a category, so no demand can be asked about.
    assert [(spec.name, spec.task, spec.active_days) for spec in manifest.scores] == [
        ("churn_7d", Task.CHURN, 30),
        ("churn_14d", Task.CHURN, 30),
        ("repurchase_7d", Task.REPURCHASE, 30),
    ]
    assert any("category_demand_7d" in what.en for what in trained.left_out)
    assert json.loads((fetched / LIFETIME).read_text())["bg_nbd"]["r"] > 0
    assert manifest.data_from.startswith("2025-10-09")
    assert manifest.metrics["encoder_ndcg_at_10"] == trained.metrics["encoder_ndcg_at_10"]
    card = (fetched / "card.md").read_text()
    assert "| encoder |" in card
    assert "exact: 40 items are fewer than 200,000" in card


def test_serving_loads_it_and_recommends_the_customers_own_taste(fetched: Path) -> None:
    bundle = load(fetched, "1")
    assert bundle.finder is not None
    catalogue = bundle.finder.catalogue
    state = customer.fold(met("eve", f"i{n:02d}", START_US + n) for n in (2, 4, 5))

    query = bundle.finder.query_vector(*encoder_input(state, catalogue.index_of, 20))
    _, found = bundle.finder.index.search(query, 10)

    own = [catalogue.categories[row] == "left" for row in found[0]]
    assert np.mean(own) >= 0.8


def test_boosters_know_their_columns_and_curves_rise(fetched: Path) -> None:
    ranker = xgboost.Booster(model_file=str(fetched / "ranker.ubj"))
    curves = json.loads((fetched / "calibration.json").read_text())

    assert ranker.feature_names == list(RANKER_FEATURES)
    for curve in curves.values():
        assert np.all(np.diff(curve["x"]) > 0)
        assert np.all(np.diff(curve["y"]) >= 0)
        assert 0 < min(curve["y"]) <= max(curve["y"]) < 1


def test_a_second_download_is_the_first_and_a_damaged_copy_is_fetched_again(
    trained: TrainedShop, fetched: Path
) -> None:
    uri, version = trained.settings.mlflow_uri, trained.version
    inode = (fetched / "index.faiss").stat().st_ino

    assert registry.download(uri, version, trained.settings.bundles) == fetched
    assert (fetched / "index.faiss").stat().st_ino == inode

    (fetched / "popular.json").write_text("[]")
    mended = registry.download(uri, version, trained.settings.bundles)
    assert verify(mended, version).items == 40


@pytest.mark.parametrize("change", ["altered", "missing", "foreign"])
def test_a_bundle_that_was_tampered_with_is_refused(
    trained: TrainedShop, fetched: Path, tmp_path: Path, change: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(fetched, copy)
    if change == "altered":
        with (copy / "ranker.ubj").open("ab") as file:
            file.write(b"x")
    elif change == "missing":
        (copy / "index.faiss").unlink()
    else:
        (copy / "extra.json").write_text("{}")

    with pytest.raises(BundleRefused, match="is refused"):
        verify(copy, trained.version)


def test_a_registered_bundle_that_was_tampered_with_is_never_kept(
    trained: TrainedShop, tmp_path: Path
) -> None:
    """The artifact store is not trusted: what it gives is checked before it is put in place."""
    home, settings = tmp_path / "other", trained.settings
    run = Registry(settings.mlflow_uri, settings.mlflow_artifacts).version(trained.version).run_id
    shutil.copytree(settings.mlflow_artifacts / run, home / run)
    found = home / run / "artifacts" / "bundle"
    (found / "popular.json").write_text("[0]")
    other = Registry(f"sqlite:///{tmp_path / 'other.db'}", home)
    client = registry.client(f"sqlite:///{tmp_path / 'other.db'}")
    client.create_registered_model("nearline")
    client.create_model_version("nearline", source=found.as_uri())
    assert other is not None

    with pytest.raises(BundleRefused, match=r"popular\.json"):
        registry.download(f"sqlite:///{tmp_path / 'other.db'}", "1", tmp_path / "kept")

    assert list((tmp_path / "kept").iterdir()) == []


def test_the_run_holds_parameters_curves_features_and_lineage(trained: TrainedShop) -> None:
    client = registry.client(trained.settings.mlflow_uri)
    version = client.get_model_version("nearline", trained.version)
    run = client.get_run(str(version.run_id))

    assert run.info.status == "FINISHED"
    assert run.data.params["encoder.dimension"] == "16"
    assert run.data.params["data_to"].startswith("2025-11")
    assert run.data.tags["recipe"] == "quick"
    assert len(run.data.tags["history_fingerprint"]) == 32
    assert len(client.get_metric_history(run.info.run_id, "epoch_loss")) == 3
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files - {"gate.json"} == {  # which stands there once a gate has decided
        "bundle",
        "features.json",
        "report.html",
        "trial",
    }
    (learnt_from,) = run.inputs.dataset_inputs
    assert learnt_from.dataset.name == "history"
    assert learnt_from.dataset.digest == run.data.tags["history_fingerprint"]
    assert version.tags["data_to"] == run.data.params["data_to"]
    assert version.tags["recipe"] == "quick"


def test_the_gate_measures_costs_and_keeps_its_verdicts_with_the_run(
    trained: TrainedShop, fetched: Path, tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path / 'gate.db'}"
    registered = Registry(uri, tmp_path / "artifacts")
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "rules:\n"
        "- {metric: data_age_hours, required: true, at_most: 48}\n"
        "- {metric: bundle_p99_ms, required: true, at_most: 60000}\n"
        "- {metric: bundle_size_mb, may_rise_by: 0.5}\n"
    )
    champion, other = _register(registered, fetched), _register(registered, fetched)
    registered.promote(champion)
    ended_us = round(datetime.fromisoformat(verify(fetched, "it").data_to).timestamp() * 1e6)

    fresh = gate.examine(registered, other, policy, ended_us + 2 * HOUR_US)
    assert (fresh.champion, fresh.reasons) == (champion, [])
    assert fresh.figures["data_age_hours"] == pytest.approx(2.0)
    size_mb = sum(path.stat().st_size for path in fetched.iterdir()) / 1e6
    assert fresh.figures["bundle_size_mb"] == pytest.approx(size_mb)
    assert fresh.verdicts[-1].champion == pytest.approx(size_mb)

    stale = gate.examine(registered, other, policy, ended_us + 49 * HOUR_US)
    assert stale.reasons == ["data_age_hours is 49, at most 48 is allowed"]
    kept = registered.version(other)
    assert kept.tags["gate"] == "refused"
    assert kept.tags["promotion_refused"] == stale.reasons[0]
    assert kept.metrics["data_age_hours"] == pytest.approx(49.0)
    client = registry.client(uri)
    report = Path(client.download_artifacts(kept.run_id, gate.REPORT, str(tmp_path)))
    assert [one["outcome"] for one in json.loads(report.read_text())["verdicts"]] == [
        "broken",
        "holds",
        "holds",
    ]
    with pytest.raises(promotion.PromotionRefused, match="49"):
        gate.promote(registered, other, policy, ended_us + 49 * HOUR_US)
    gate.promote(registered, other, policy, ended_us)
    assert registry.resolve(uri, CHAMPION) == other
    assert "promotion_refused" not in registered.version(other).tags


def test_data_is_old_against_the_newest_event_of_the_history(
    trained: TrainedShop, tmp_path: Path
) -> None:
    newest_us = gate.newest_us(trained.settings.history, START_US + 900 * DAY_US)

    assert START_US + 29 * DAY_US < newest_us < START_US + 33 * DAY_US
    assert gate.newest_us(tmp_path, 7) == 7  # no history: now
    assert gate.newest_us(trained.settings.history, START_US) == START_US  # not from the future


def test_promotion_moves_previous_along_and_rolling_back_returns(
    trained: TrainedShop, fetched: Path, tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path / 'aliases.db'}"
    registered = Registry(uri, tmp_path / "artifacts")
    policy = tmp_path / "policy.yaml"
    policy.write_text(NOTHING_ASKED)
    first, second = _register(registered, fetched), _register(registered, fetched)

    assert registry.resolve(uri, CHAMPION) is None
    gate.promote(registered, first, policy, START_US)
    assert registry.resolve(uri, CHAMPION) == first
    assert registry.resolve(uri, PREVIOUS) is None
    assert registry.resolve(uri, CHALLENGER) == second

    gate.promote(registered, second, policy, START_US)
    assert registry.resolve(uri, CHAMPION) == second
    assert registry.resolve(uri, PREVIOUS) == first
    assert registry.resolve(uri, CHALLENGER) is None

    registered.promote(first)  # what rollback does
    assert (registry.resolve(uri, CHAMPION), registry.resolve(uri, PREVIOUS)) == (first, second)
    assert [version.number for version in registered.versions()] == [second, first]


def test_a_refused_bundle_says_why_and_the_champion_stays(
    trained: TrainedShop, fetched: Path, tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path / 'refused.db'}"
    registered = Registry(uri, tmp_path / "artifacts")
    lenient, strict = tmp_path / "lenient.yaml", tmp_path / "strict.yaml"
    lenient.write_text(NOTHING_ASKED)
    strict.write_text("rules: [{metric: encoder_ndcg_at_10, at_least: 1.1}]\n")
    champion, worse = _register(registered, fetched), _register(registered, fetched)
    gate.promote(registered, champion, lenient, START_US)

    with pytest.raises(promotion.PromotionRefused, match=r"at least 1\.1 is asked.*champion stays"):
        gate.promote(registered, worse, strict, START_US)

    assert registry.resolve(uri, CHAMPION) == champion
    assert "at least 1.1" in registered.version(worse).tags["promotion_refused"]
    with pytest.raises(PermanentError, match="no version '99'"):
        gate.promote(registered, "99", lenient, START_US)


def test_an_alias_in_a_registry_without_bundles_points_nowhere(tmp_path: Path) -> None:
    assert registry.resolve(f"sqlite:///{tmp_path / 'empty.db'}", CHAMPION) is None


def _register(registered: Registry, bundle: Path) -> str:
    from training.journal import Journal

    manifest = verify(bundle, "fixture")
    assert digests_of(bundle) == manifest.digests
    return registered.register(bundle, manifest, {"name": "test"}, Journal(), {})


def test_training_and_serving_name_the_same_candidates(fetched: Path) -> None:
    """The ranker must meet in production what it learnt from: items, scores and ranks."""
    finder = load(fetched, "1").finder
    assert finder is not None
    index = finder.index
    retriever = Retriever(
        queries=lambda items, kinds: finder.encoder.run(
            ["query"], {"items": items, "kinds": kinds}
        )[0],
        index=index,
        sources=finder.sources,
        later=NOTHING_LATER,
        history_length=finder.history_length,
    )
    histories = [[], [("i02", "view_item")], [("i31", "purchase"), ("i30", "view_item")]]
    states = [
        customer.fold(
            met("eve", what, START_US + n, name=name) for n, (what, name) in enumerate(one)
        )
        for one in histories
    ]

    learnt_from = retriever.candidates(states, [START_US + 9] * 3)

    for state, expected in zip(states, learnt_from, strict=True):
        stock = Stock.of(finder, ())
        found = find(stock, ItemTable(1), state, asked_by(state, START_US + 9))
        assert found.failed == ()
        served = [option.candidate for option in found.options]
        assert [one.item_id for one in served] == [one.item_id for one in expected]
        assert [one.ranks for one in served] == [one.ranks for one in expected]
        for one, other in zip(served, expected, strict=True):
            assert one.scores == pytest.approx(other.scores, abs=1e-5)
