"""A ranker of any form scores as the library that made it, missing values and all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import numpy.typing as npt
import pytest
import xgboost

from nearline import rankers
from nearline.contracts.bundle import RANKER_FILES, RankerFormat, RankerSpec
from nearline.transforms.ranking import RANKER_FEATURES

# In another order than serving's, and not all of them.
FEATURES = [RANKER_FEATURES[place] for place in (9, 2, 40, 7, 0)]
Floats = npt.NDArray[np.float32]


def rows(seed: int, count: int = 300) -> Floats:
    """(R, F) of all features, a fifth of them missing."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(count, len(RANKER_FEATURES))).astype(np.float32)
    values[draw.random(values.shape) < 0.2] = np.nan
    return values


def picked(all_RF: Floats) -> Floats:
    return all_RF[:, [RANKER_FEATURES.index(name) for name in FEATURES]]


def gains(own_RF: Floats) -> Floats:
    return (np.nan_to_num(own_RF[:, 0]) + np.isnan(own_RF[:, 1])).astype(np.float32)


def of_xgboost(path: Path) -> Callable[[Floats], Floats]:
    own = picked(rows(1))
    booster = xgboost.train(
        {"max_depth": 3, "nthread": 1}, xgboost.DMatrix(own, gains(own), nthread=1), 8
    )
    booster.save_model(path)
    return lambda asked: np.asarray(booster.predict(xgboost.DMatrix(asked, nthread=1)))


def of_lightgbm(path: Path) -> Callable[[Floats], Floats]:
    own = picked(rows(1))
    parameters = {"num_threads": 1, "verbose": -1, "min_data_in_leaf": 5}
    booster = lightgbm.train(parameters, lightgbm.Dataset(own, gains(own)), 8)
    booster.save_model(path)
    return lambda asked: np.asarray(booster.predict(asked))


def of_sklearn(path: Path) -> Callable[[Floats], Floats]:
    from skl2onnx import to_onnx
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    own = picked(rows(1))
    model = make_pipeline(SimpleImputer(), Ridge()).fit(own, gains(own))
    path.write_bytes(to_onnx(model, own[:1], target_opset=17).SerializeToString())
    return lambda asked: np.asarray(model.predict(asked))


@pytest.mark.parametrize(
    ("form", "made"),
    [
        (RankerFormat.XGBOOST, of_xgboost),
        (RankerFormat.LIGHTGBM, of_lightgbm),
        (RankerFormat.ONNX, of_sklearn),
    ],
)
def test_scores_equal_those_of_the_library_that_learnt(
    form: RankerFormat, made: Callable[[Path], Callable[[Floats], Floats]], tmp_path: Path
) -> None:
    file = RANKER_FILES[form]
    expected = made(tmp_path / file)
    asked = rows(2)

    ranker = rankers.read(tmp_path, RankerSpec(form, file, FEATURES))

    assert np.isnan(asked).any()
    np.testing.assert_allclose(ranker.scores(asked), expected(picked(asked)), rtol=1e-5, atol=1e-6)
    assert ranker.scores(asked).dtype == np.float32
    assert len(set(ranker.scores(asked).tolist())) > 20


def test_lightgbm_reads_where_the_libraries_of_training_cannot_be_imported(tmp_path: Path) -> None:
    """As in a replica of serving, where pandas and scikit-learn are blocked."""
    of_lightgbm(tmp_path / "ranker.txt")
    program = (
        "import sys; from serving import workers; workers.stay_lean()\n"
        "from pathlib import Path; import numpy as np\n"
        "from nearline import rankers; from nearline.contracts.bundle import *\n"
        f"spec = RankerSpec(RankerFormat.LIGHTGBM, 'ranker.txt', {FEATURES!r})\n"
        f"ranker = rankers.read(Path({str(tmp_path)!r}), spec)\n"
        f"rows = np.full((3, {len(RANKER_FEATURES)}), np.nan, np.float32)\n"
        "assert np.isfinite(ranker.scores(rows)).all()\n"
        "assert not any(sys.modules.get(name) for name in workers.FORBIDDEN)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
