"""What training asks about a customer, serving asks too: the same rows, bit for bit, in the same
cohort, and so the same probability."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nearline.contracts import bundle as contract
from nearline.contracts.answer import ScoresQuery
from nearline.contracts.bundle import Manifest, ScoreSpec
from nearline.transforms.buckets import DAY_US
from serving import score_models
from serving.scores import foretell
from tests.unit.training.histories import two_tastes
from tests.unit.training.leaks.naive import NaiveStates
from tests.unit.training.scores.test_fit import CONFIG, shop, taught
from training.datasets import Dataset
from training.scores.fit import fit
from training.scores.questions import (
    CategoryDemand,
    Churn,
    Question,
    Repurchase,
    category_shares,
)

ACTIVE_DAYS = 4  # So few that some are outside.


@pytest.fixture(scope="module")
def busy() -> tuple[Dataset, NaiveStates]:
    return shop(two_tastes(customers=90))


@pytest.mark.parametrize(
    "question",
    [Churn(7, ACTIVE_DAYS), Repurchase(5, ACTIVE_DAYS), CategoryDemand(5, ACTIVE_DAYS)],
    ids=lambda question: question.name,
)
def test_serving_scores_training_s_rows_as_training_does(
    question: Question, busy: tuple[Dataset, NaiveStates], tmp_path: Path
) -> None:
    dataset, states = busy
    model = taught(fit(question, dataset, states, CONFIG, seed=1, threads=1))
    at_us = dataset.to_us - 3 * DAY_US
    asked = question.rows_at(at_us, dataset, states)
    chances = model.probability(asked).tolist()

    model.booster.save_model(tmp_path / "model.ubj")
    (tmp_path / contract.CALIBRATION).write_text(json.dumps({model.name: model.curve}))
    shares = category_shares(dataset, at_us)
    (tmp_path / contract.CATEGORY_SHARES).write_text(json.dumps(shares))
    spec = ScoreSpec(
        model.name, model.task, model.horizon_days, "model.ubj", list(model.features), ACTIVE_DAYS
    )
    held = score_models.read(tmp_path, "1", _manifest(spec))
    ids = dataset.customer_ids
    # Serving has read what was known then, of everybody.
    told = foretell(
        held, states.customers(ids, [at_us] * len(ids)), at_us, ScoresQuery(ids, reasons=True)
    )

    served = {
        (place, score.category): score for place, one in enumerate(told) for score in one.scores
    }
    assert 0 < len({place for place, _ in served}) < len(ids)  # somebody is outside the cohort
    names = question.features
    rows = zip(asked.customer_R.tolist(), chances, asked.features_RF, strict=True)
    categories = _categories(question, dataset, states, at_us, asked.customer_R.tolist())
    seen = set()
    for (place, chance, row), category in zip(rows, categories, strict=True):
        score = served[place, category]
        seen.add((place, category))
        assert score.probability == chance
        for reason in score.reasons:  # what serving saw is what training's row holds
            value = np.float32(np.nan if reason.value is None else reason.value)
            assert value.tobytes() == row[names.index(reason.feature)].tobytes()
    assert seen == set(served)


def _categories(
    question: Question, dataset: Dataset, states: NaiveStates, at_us: int, rows: list[int]
) -> list[str]:
    """Of which category each row of training is: it asks about each that one has met, by name."""
    if not isinstance(question, CategoryDemand):
        return [""] * len(rows)
    ids = [dataset.customer_ids[row] for row in dict.fromkeys(rows)]
    return [
        category
        for state in states.customers(ids, [at_us] * len(ids))
        for category in sorted({recent.category for recent in state.recent} - {""})
    ]


def _manifest(spec: ScoreSpec) -> Manifest:
    return Manifest(
        created_at="", data_from="", data_to="", items=0, encoder=contract.EncoderSpec(1, 1),
        customer_features=[], item_features=[], ranker_features=[], features_hash="",
        scores=[spec], metrics={}, libraries={}, code_version="", digests={},
    )  # fmt: skip


def test_the_rows_are_equal_bit_for_bit_whatever_reads_them(
    busy: tuple[Dataset, NaiveStates],
) -> None:
    dataset, states = busy
    at_us = dataset.to_us - 3 * DAY_US
    question = CategoryDemand(5, ACTIVE_DAYS)
    asked = question.rows_at(at_us, dataset, states)
    rows: list[np.ndarray] = []

    class Watching:
        """A model that keeps what it is asked."""

        name, task, horizon_days = question.name, question.task, 5

        def speaks_of(self, state: object, at_us: int) -> bool:
            return score_models.ScoreModel.speaks_of(self, state, at_us)  # type: ignore[arg-type]

        active_days = ACTIVE_DAYS

        def probabilities(self, rows_RF: np.ndarray) -> np.ndarray:
            rows.append(rows_RF)
            return np.zeros(len(rows_RF))

    held = score_models.ScoreModels((Watching(),), None, category_shares(dataset, at_us))  # type: ignore[arg-type]
    ids = dataset.customer_ids
    foretell(
        held, states.customers(ids, [at_us] * len(ids)), at_us, ScoresQuery(ids, reasons=False)
    )

    (served,) = rows
    assert served.tobytes() == asked.features_RF.tobytes()
