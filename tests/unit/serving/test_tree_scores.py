"""The direct call of XGBoost's C interface says what its Python wrapper says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xgboost

from nearline.rankers import booster, scores_of

COLUMNS = 7


def trees(tmp_path: Path, **parameters: object) -> xgboost.Booster:
    random = np.random.default_rng(3)
    rows = random.normal(size=(400, COLUMNS)).astype(np.float32)
    labels = (rows[:, 0] + rows[:, 3] > 0).astype(np.float32)
    learnt = xgboost.train(
        {"nthread": 1, **parameters}, xgboost.DMatrix(rows, labels), num_boost_round=9
    )
    learnt.save_model(tmp_path / "trees.ubj")
    return booster(tmp_path / "trees.ubj")


def asked(rows: int) -> np.ndarray:
    random = np.random.default_rng(4)
    found = random.normal(size=(rows, COLUMNS)).astype(np.float32)
    found[random.random(found.shape) < 0.3] = np.nan
    return found


@pytest.mark.parametrize("rows", [1, 63, 200])
@pytest.mark.parametrize("objective", ["rank:ndcg", "binary:logistic"])
def test_scores_are_the_wrappers_to_the_bit(tmp_path: Path, objective: str, rows: int) -> None:
    held = trees(tmp_path, objective=objective)

    found = scores_of(held, asked(rows))

    assert found.shape == (rows,)
    assert found.tobytes() == held.inplace_predict(asked(rows)).tobytes()


def test_rows_need_not_be_contiguous_nor_float32(tmp_path: Path) -> None:
    held, rows = trees(tmp_path, objective="rank:ndcg"), asked(50)

    assert np.array_equal(scores_of(held, np.asfortranarray(rows)), scores_of(held, rows))
    assert np.array_equal(scores_of(held, rows.astype(np.float64)), scores_of(held, rows))


def test_an_answer_outlives_the_next_one(tmp_path: Path) -> None:
    held = trees(tmp_path, objective="rank:ndcg")
    first = scores_of(held, asked(20))
    before = first.copy()

    scores_of(held, -asked(20))

    assert np.array_equal(first, before)


def test_several_outputs_keep_their_shape(tmp_path: Path) -> None:
    held = trees(tmp_path, objective="multi:softprob", num_class=3)

    assert np.array_equal(scores_of(held, asked(5)), held.inplace_predict(asked(5)))


def test_rows_with_too_few_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(xgboost.core.XGBoostError):
        scores_of(trees(tmp_path, objective="rank:ndcg"), asked(5)[:, :2])
