"""How often a place in a list is looked at, told apart from how good its items were.

The position-based model: a click needs a look at the place and an item worth clicking, and the
two do not influence each other (Craswell et al. 2008). Both are hidden. As in regression-EM (Wang
et al. 2018, "Position Bias Estimation for Unbiased Learning to Rank in Personal Search") the
places' shares are updated by expectation; boosted trees follow the likelihood itself, tree by
tree, since learning them anew in each round converges slowly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xgboost
from sklearn.isotonic import isotonic_regression

from training.ranking_rows import Rows

# Axes: R rows (shown items), F features, K places in a list, Q questions.
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_TREES, _DEPTH, _RATE = 200, 1, 0.1  # Deeper trees learn clicks by heart: places look flat.
_UPDATES = 3  # Of the places, after each tree.
_LEAST = 1e-6  # Keeps chances off 0 and 1, where nothing could be learnt any more.


def examined(
    features_RF: npt.NDArray[np.float32],
    places_R: Ints,
    clicked_R: npt.NDArray[np.bool_],
    *,
    places: int,
    seed: int,
    threads: int,
) -> Floats:
    """(K,): how often each place is looked at, relative to the place looked at most, in (0, 1].

    `places_R` count from 0; what stands below the last place counts with it. No place is looked
    at more often than one above it: what few clicks far down pretend is evened out. Needs items
    that were shown at different places: where every item keeps its place, what is good and what
    is seen cannot be told apart. Raises ValueError where nothing or everything was clicked.
    """
    if not 0 < int(clicked_R.sum()) < len(clicked_R):
        raise ValueError(
            f"{int(clicked_R.sum())} of {len(clicked_R)} shown items were clicked: places can be "
            "told apart only where some were and some were not"
        )
    places_R = np.minimum(places_R, places - 1)
    rows_K = np.bincount(places_R, minlength=places).astype(np.float64)
    look_K = 1.0 / np.sqrt(np.arange(2, places + 2))
    worth = float(clicked_R.mean())
    margin_R = np.full(len(places_R), np.log(worth / (1.0 - worth)))
    matrix = xgboost.DMatrix(features_RF, nthread=threads)
    matrix.set_base_margin(margin_R)
    parameters = {
        "max_depth": _DEPTH,
        "eta": _RATE,
        "base_score": 0.5,
        "tree_method": "hist",
        "seed": seed,
        "nthread": threads,
    }
    booster = xgboost.Booster(parameters, [matrix])
    for round_ in range(_TREES):
        slope_R, bend_R = _likelihood(look_K[places_R], _chance(margin_R), clicked_R)
        booster.boost(matrix, round_, grad=slope_R, hess=bend_R)
        margin_R = booster.predict(matrix, output_margin=True).astype(np.float64)
        worth_R = _chance(margin_R)
        for _ in range(_UPDATES):
            look_R = look_K[places_R]
            unclicked_R = look_R * (1.0 - worth_R) / np.maximum(1.0 - look_R * worth_R, _LEAST)
            looked_R = np.where(clicked_R, 1.0, unclicked_R)
            sums_K = np.bincount(places_R, weights=looked_R, minlength=places)
            look_K = _falling(sums_K.astype(np.float64), rows_K)
    return np.asarray(look_K / look_K.max(), np.float64)


def lessons_of_clicks(rows: Rows, places_R: Ints, look_K: Floats, most: float) -> Rows:
    """One question per click: the clicked item against what was shown beside it unclicked.

    Its weight is 1 / how often its place is looked at, at most `most`: a click far down stands
    for all who never looked there (propensity-weighted ranking, Joachims et al. 2017). Weights
    are scaled to a mean of 1. Questions without a click, or with nothing but clicks, vanish.
    """
    picked: list[Ints] = []
    weights: list[float] = []
    starts = np.flatnonzero(np.diff(rows.question_R, prepend=-1))
    for start, end in zip(starts, np.append(starts[1:], len(rows.question_R)), strict=True):
        gains = rows.gains_R[start:end]
        passed = start + np.flatnonzero(gains == 0)
        for place in start + np.flatnonzero(gains > 0) if len(passed) else ():
            picked.append(np.append(passed, place))
            look = float(look_K[min(int(places_R[place]), len(look_K) - 1)])
            weights.append(min(1.0 / max(look, _LEAST), most))
    where = np.concatenate([np.zeros(0, np.int64), *picked])
    weights_Q = np.array(weights, np.float64)
    return Rows(
        rows.features_RF[where],
        rows.gains_R[where],
        np.repeat(np.arange(len(picked)), [len(one) for one in picked]),
        weights_Q / weights_Q.mean() if len(weights_Q) else weights_Q,
    )


def _likelihood(
    look_R: Floats, worth_R: Floats, clicked_R: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Slope and expected curvature of -log P(click), by the margin whose chance `worth` is."""
    neither_R = np.maximum(1.0 - look_R * worth_R, _LEAST)
    passed_R = look_R * worth_R * (1.0 - worth_R) / neither_R
    slope_R = np.where(clicked_R, worth_R - 1.0, passed_R)
    return slope_R, np.maximum(passed_R * (1.0 - worth_R), _LEAST)


def _chance(margin_R: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-margin_R)), np.float64)


def _falling(sums_K: Floats, rows_K: Floats) -> Floats:
    """Shares that never rise from place to place, nearest to the seen ones, weighed by rows."""
    rows_K = np.maximum(rows_K, _LEAST)
    shares_K = isotonic_regression(sums_K / rows_K, sample_weight=rows_K, increasing=False)
    return np.clip(np.asarray(shares_K, np.float64), _LEAST, 1.0 - _LEAST)
