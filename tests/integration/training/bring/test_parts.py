"""A model from outside in a copy of a bundle: taken with its figures, or refused in a sentence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import xgboost
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from nearline.contracts.bundle import CONTENT, RankerFormat, RankerSpec, verify
from nearline.transforms.ranking import RANKER_FEATURES
from serving.bundles import load
from tests.unit.court.tiny_bundle import tiny
from tests.unit.training.bring.made import encoder_trial, lightgbm_of, onnx_encoder, trial
from training.bring import Refused, parts
from training.bring.parts import Made, Parent

FEATURES = ["item_price_cents", "encoder_score", "seen_count"]
COLUMNS = [RANKER_FEATURES.index(name) for name in FEATURES]
TRIAL = trial()


@pytest.fixture
def parent(tmp_path: Path) -> Parent:
    folder = tiny().write(tmp_path / "parent")
    return Parent("7", folder, verify(folder, "7"))


def bring(parent: Parent, model: Any, features: list[str] | None = FEATURES) -> Made:
    return parts.with_ranker(
        parent, model, features, None, TRIAL.exam, "ann", 1_795_000_000_000_000, 1
    )


def of_xgboost() -> Any:
    learnt = TRIAL.train
    data = xgboost.DMatrix(learnt.features_RF[:, COLUMNS], learnt.gains_R, nthread=1)
    return xgboost.train({"nthread": 1, "max_depth": 3}, data, 20)


def of_sklearn() -> Any:
    from skl2onnx import to_onnx

    own = TRIAL.train.features_RF[:, COLUMNS]
    model = make_pipeline(SimpleImputer(), Ridge()).fit(own, TRIAL.train.gains_R)
    return to_onnx(model, own[:1], target_opset=17)


def of_torch(path: Path) -> Path:
    import torch

    layers = torch.nn.Sequential(torch.nn.Linear(len(FEATURES), 4), torch.nn.Linear(4, 1))

    class Filled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            known = torch.where(torch.isnan(rows), torch.zeros_like(rows), rows)
            return self.layers(torch.clamp(known, -10, 10))  # type: ignore[no-any-return]

    torch.onnx.export(
        Filled(), (torch.zeros(1, len(FEATURES)),), str(path), input_names=["rows"],
        output_names=["score"], dynamic_axes={"rows": {0: "batch"}}, dynamo=False,
        opset_version=17,
    )  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("make", "form"),
    [
        (of_xgboost, RankerFormat.XGBOOST),
        (lambda: lightgbm_of(FEATURES, TRIAL.train), RankerFormat.LIGHTGBM),
        (of_sklearn, RankerFormat.ONNX),
    ],
)
def test_a_ranker_of_each_form_is_taken_judged_and_served(
    parent: Parent, make: Callable[[], Any], form: RankerFormat
) -> None:
    made = bring(parent, make())

    assert made.manifest.ranker is not None
    assert (made.manifest.ranker.format, made.manifest.ranker.features) == (form, FEATURES)
    assert made.manifest.lineage.parent == "7"
    assert made.manifest.lineage.brought_by == "ann: ranker"
    assert made.ndcg > made.champion_ndcg  # The champion's has learnt from noise.
    assert made.lead[1] > 0
    figures = made.manifest.metrics
    assert figures["rank_ranker_ndcg_at_10"] == pytest.approx(made.ndcg)
    assert figures["brought_lead_low"] == pytest.approx(made.lead[1])
    served = load(made.folder, "8")  # as serving does, without a change there
    assert served.ranker is not None
    assert len(served.ranker.scores(TRIAL.exam.rows.features_RF)) == len(TRIAL.exam.rows.gains_R)
    assert "ann: ranker" in (made.folder / "card.md").read_text()
    assert verify(parent.folder, "7") == parent.manifest  # The champion's files are untouched.


@pytest.mark.filterwarnings("ignore")  # torch's exporter warns of its own future
def test_a_file_from_torch_is_taken(parent: Parent, tmp_path: Path) -> None:
    made = bring(parent, of_torch(tmp_path / "mine.onnx"))

    assert made.manifest.ranker == RankerSpec(RankerFormat.ONNX, "ranker.onnx", FEATURES)


def test_figures_of_the_part_that_was_replaced_are_not_carried_on(parent: Parent) -> None:
    import msgspec

    held = {
        "rank_segment_new_ndcg_at_10": 0.9,
        "ranker_lead": 0.5,
        "encoder_ndcg_at_10": 0.2,
        "logged_lessons": 40.0,
    }
    parent = Parent("7", parent.folder, msgspec.structs.replace(parent.manifest, metrics=held))

    figures = bring(parent, of_xgboost()).manifest.metrics

    assert figures["encoder_ndcg_at_10"] == 0.2
    both = [figures[f"rank_segment_{name}_ndcg_at_10"] for name in ("new", "returning")]
    assert 0.9 not in both  # measured anew, over halves of the questions
    assert sum(both) / 2 == pytest.approx(figures["rank_ranker_ndcg_at_10"])
    assert figures["ranker_lead"] != 0.5
    assert "logged_lessons" not in figures  # of how the old one learnt


def text_of(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("make", "features", "why"),
    [
        (of_xgboost, ["item_price_cent", *FEATURES[1:]], "did you mean 'item_price_cents'"),
        (of_xgboost, FEATURES[:2], "takes 3 features, and 2 are named"),
        (of_xgboost, [*FEATURES[:2], FEATURES[0]], "features twice: item_price_cents"),
        (lambda: Ridge(), FEATURES, "sklearn.Ridge cannot be kept in a bundle"),
    ],
)
def test_what_does_not_fit_is_refused(
    parent: Parent, make: Callable[[], Any], features: list[str], why: str
) -> None:
    with pytest.raises(Refused, match=why):
        bring(parent, make(), features)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("model.pkl", "x", "Pickles and Python can run code"),
        ("model.ubj", "no trees", "it is no xgboost"),
        ("model.txt", "tree\nversion=v4\nnum_class=1\n", "it is no lightgbm|ended the process"),
        ("model.onnx", "no graph", "it is no onnx|not well formed"),
    ],
)
def test_a_file_that_is_no_model_is_refused(
    parent: Parent, tmp_path: Path, name: str, text: str, why: str
) -> None:
    with pytest.raises(Refused, match=why):
        bring(parent, text_of(tmp_path / name, text))


def test_a_model_that_cannot_read_missing_values_is_told_so(parent: Parent) -> None:
    from skl2onnx import to_onnx

    own = np.nan_to_num(TRIAL.train.features_RF[:, COLUMNS])
    model = to_onnx(Ridge().fit(own, TRIAL.train.gains_R), own[:1], target_opset=17)

    with pytest.raises(Refused, match="must fill it in by itself"):
        bring(parent, model)


def test_features_named_by_the_model_itself_must_agree(parent: Parent) -> None:
    learnt = TRIAL.train
    data = xgboost.DMatrix(
        learnt.features_RF[:, COLUMNS], learnt.gains_R, feature_names=FEATURES, nthread=1
    )
    model = xgboost.train({"nthread": 1}, data, 3)

    assert bring(parent, model, None).manifest.ranker.features == FEATURES  # type: ignore[union-attr]
    shutil.rmtree(parent.folder.parent / "made")
    with pytest.raises(Refused, match="another order"):
        bring(parent, model, FEATURES[::-1])


def test_a_model_that_gives_every_row_the_same_score_is_refused(parent: Parent) -> None:
    learnt = TRIAL.train
    data = xgboost.DMatrix(learnt.features_RF[:, COLUMNS], np.ones(len(learnt.gains_R)), nthread=1)

    with pytest.raises(Refused, match="the same score"):
        bring(parent, xgboost.train({"nthread": 1}, data, 2))


def test_an_encoder_takes_its_place_with_its_vectors_and_without_the_old_ranker(
    parent: Parent,
) -> None:
    (parent.folder / CONTENT).write_text("{}")
    model, vectors = onnx_encoder(tiny().ITEMS, tiny().LENGTH)

    made = parts.with_encoder(
        parent, model, vectors, encoder_trial(tiny().ITEMS, tiny().LENGTH), "ann", 1, 1
    )

    assert made.ndcg == 1.0  # It knows the rule of this test: the next item.
    assert made.manifest.metrics["encoder_recall_at_20"] == 1.0
    assert made.champion_ndcg == 0.0
    assert made.manifest.ranker is None
    assert not (made.folder / CONTENT).exists()
    assert "left out" in made.notes[0].en
    served = load(made.folder, "8")
    assert served.finder is not None
    history = np.zeros(tiny().LENGTH, np.int64)
    history[-1] = 4  # item row 3
    _, found = served.finder.index.search(
        served.finder.query_vector(history, (history > 0).astype(np.int64)), 1
    )
    assert found.tolist() == [[4]]


def test_an_encoder_whose_vectors_do_not_fit_is_refused(parent: Parent) -> None:
    model, vectors = onnx_encoder(tiny().ITEMS, tiny().LENGTH)
    asked = encoder_trial(tiny().ITEMS, tiny().LENGTH)

    with pytest.raises(Refused, match=r"\(59, 60\); expected one row for each"):
        parts.with_encoder(parent, model, vectors[:-1], asked, "ann", 1, 1)
    shutil.rmtree(parent.folder.parent / "made")
    foreign = onnx.ModelProto()
    foreign.CopyFrom(model)
    foreign.graph.node[0].domain = "acme"
    with pytest.raises(Refused, match=r"acme\.Gather"):
        parts.with_encoder(parent, foreign, vectors, asked, "ann", 1, 1)


def test_lessons_can_be_fewer_and_questions_stay_whole() -> None:
    from training.bring.frames import ranking_frame

    frame = ranking_frame(TRIAL, 30, seed=1)

    assert frame.features == list(RANKER_FEATURES)
    assert frame.train.sizes_Q.tolist() == [12] * 30
    assert frame.train.only(FEATURES).features_RF.shape == (360, 3)
    assert len(frame.test.gains_R) == len(TRIAL.exam.rows.gains_R)
    best = frame.ndcg(TRIAL.exam.rows.gains_R.astype(np.float32))
    assert best == pytest.approx(1.0)
    assert frame.ndcg(-TRIAL.exam.rows.gains_R.astype(np.float32)) < best


def test_a_trial_is_kept_whole(tmp_path: Path) -> None:
    from training import encoder_trial as encoder_trials
    from training import trial as trials

    TRIAL.save(tmp_path / "trial")
    kept = trials.load(tmp_path / "trial")
    for mine, theirs in (
        (TRIAL.train, kept.train),
        (TRIAL.validation, kept.validation),
        (TRIAL.exam.rows, kept.exam.rows),
    ):
        np.testing.assert_array_equal(mine.features_RF, theirs.features_RF)
        np.testing.assert_array_equal(mine.question_R, theirs.question_R)
    np.testing.assert_array_equal(kept.exam.ideal_QK, TRIAL.exam.ideal_QK)
    np.testing.assert_array_equal(kept.exam.segments["new"], TRIAL.exam.segments["new"])

    asked = encoder_trial(20, 5)
    asked.save(tmp_path / "trial")
    again = encoder_trials.load(tmp_path / "trial")
    np.testing.assert_array_equal(again.questions.items_WL, asked.questions.items_WL)
    assert [one.tolist() for one in again.questions.seen] == [
        one.tolist() for one in asked.questions.seen
    ]
    assert again.learnt_until_us == 1_000
