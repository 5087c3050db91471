"""Places and worth told apart, on clicks whose chances are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import kendalltau

from training.config import RankerConfig
from training.position_bias import examined, lessons_of_clicks
from training.ranker import refit
from training.ranking_rows import Rows

NAMES = ("taste", "price", "luck", "old_rank")
PLACES = 10


@dataclass(frozen=True)
class Clicks:
    """Lists of ten, ordered by a ranker that knows half of what makes an item worth a click."""

    rows: Rows
    places_R: npt.NDArray[np.int64]
    worth_R: npt.NDArray[np.float64]


LOOK = 1.0 / np.arange(1, PLACES + 1) ** 0.8


def clicks(seed: int, lists: int = 1_200) -> Clicks:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(lists, PLACES, 4))
    worth = 1.0 / (1.0 + np.exp(-(1.2 * values[..., 0] + 0.8 * values[..., 1] - 1.5)))
    values[..., 3] = 0.8 * values[..., 0] + draw.normal(size=(lists, PLACES))
    order = np.argsort(-values[..., 3], axis=1)
    values = np.take_along_axis(values, order[..., None], axis=1)
    worth = np.take_along_axis(worth, order, axis=1)
    clicked = (draw.random(worth.shape) < LOOK) & (draw.random(worth.shape) < worth)
    rows = Rows(
        values.reshape(-1, 4).astype(np.float32),
        clicked.ravel().astype(np.int64),
        np.repeat(np.arange(lists), PLACES),
    )
    return Clicks(rows, np.tile(np.arange(PLACES), lists), worth.ravel())


def look_of(seen: Clicks) -> npt.NDArray[np.float64]:
    return examined(
        seen.rows.features_RF,
        seen.places_R,
        seen.rows.gains_R > 0,
        places=PLACES,
        seed=1,
        threads=1,
    )


def test_how_often_a_place_is_looked_at_comes_out_near_the_truth() -> None:
    seen = clicks(seed=5)
    found = look_of(seen)
    clicked = seen.rows.gains_R.reshape(-1, PLACES).mean(axis=0)

    assert found[0] == 1.0
    assert (np.diff(found) <= 0).all()
    assert np.abs(found - LOOK).max() < 0.13
    assert np.abs(found - LOOK).mean() < 0.07
    # The share of clicks alone says too little of lower places: better items stand higher.
    assert np.abs(found - LOOK).mean() < np.abs(clicked / clicked[0] - LOOK).mean()


def test_a_corrected_ranker_orders_nearer_to_what_items_are_worth() -> None:
    seen, later = clicks(seed=5), clicks(seed=6)
    config = RankerConfig(depth=3, learning_rate=0.1)

    def agreement(rows: Rows) -> float:
        booster = refit(rows, 60, config, seed=1, threads=1, names=NAMES)
        scores = booster.inplace_predict(later.rows.features_RF).reshape(-1, PLACES)
        worth = later.worth_R.reshape(-1, PLACES)
        return float(
            np.mean([kendalltau(*pair).statistic for pair in zip(scores, worth, strict=True)])
        )

    naive = agreement(seen.rows)
    alike = agreement(lessons_of_clicks(seen.rows, seen.places_R, np.ones(PLACES), 10.0))
    corrected = agreement(lessons_of_clicks(seen.rows, seen.places_R, look_of(seen), 10.0))

    assert corrected > naive + 0.05
    assert corrected > alike + 0.05  # the weights do it, not the cutting into clicks


def test_each_click_is_a_question_against_what_was_passed_over() -> None:
    rows = Rows(
        np.arange(7, dtype=np.float32)[:, None],
        np.array([0, 2, 1, 0, 0, 1, 1], np.int64),
        np.array([0, 0, 0, 0, 1, 2, 2]),  # the second list without a click, the third all clicked
    )

    taught = lessons_of_clicks(rows, np.array([0, 1, 2, 3, 0, 0, 1]), np.array([1.0, 0.5]), 10.0)

    assert taught.features_RF[:, 0].tolist() == [0, 3, 1, 0, 3, 2]
    assert taught.gains_R.tolist() == [0, 0, 2, 0, 0, 1]
    assert taught.question_R.tolist() == [0, 0, 0, 1, 1, 1]
    assert taught.weights_Q is not None
    assert taught.weights_Q.tolist() == [1.0, 1.0]  # both 1 / 0.5: place 2 counts with the last


def test_no_click_weighs_more_than_allowed() -> None:
    rows = Rows(
        np.zeros((4, 1), np.float32), np.array([1, 0, 0, 1], np.int64), np.array([0, 0, 1, 1])
    )

    taught = lessons_of_clicks(rows, np.array([0, 1, 0, 1]), np.array([1.0, 0.01]), 3.0)

    assert taught.weights_Q is not None
    assert taught.weights_Q.tolist() == [0.5, 1.5]  # 1 and 3, not 1 and 100, to a mean of 1


@pytest.mark.parametrize("clicked", [False, True])
def test_places_cannot_be_told_apart_when_nothing_or_everything_was_clicked(clicked: bool) -> None:
    with pytest.raises(ValueError, match="told apart"):
        examined(
            np.zeros((6, 2), np.float32),
            np.arange(6),
            np.full(6, clicked),
            places=6,
            seed=1,
            threads=1,
        )
