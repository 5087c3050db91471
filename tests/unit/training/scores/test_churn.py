"""Who is in a churn snapshot, and what its label is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nearline.contracts.event import Kind
from nearline.transforms.buckets import DAY_US
from tests.unit.training.test_label_points import history
from training.config import ChurnConfig
from training.datasets import Dataset, IdMap
from training.scores.questions import Churn
from training.scores.rows import WARM_UP_DAYS, instants


def test_the_cohort_was_seen_lately_and_its_label_is_silence_over_the_whole_horizon() -> None:
    at = 50 * DAY_US
    data = history(
        (0, 0, Kind.VIEW, at),  # seen at the very instant, silent after
        (1, 0, Kind.VIEW, at - 10 * DAY_US),
        (1, 0, Kind.VIEW, at + 14 * DAY_US),  # comes back on the last day
        (2, 0, Kind.VIEW, at - DAY_US),
        (2, 0, Kind.VIEW, at + 14 * DAY_US + 1),  # too late: silent
        (3, 0, Kind.VIEW, at - 30 * DAY_US),  # not active any more
        (4, 0, Kind.VIEW, at + 1),  # not known yet
    )

    active, silent = Churn(14, 30).cohort(data, at)

    assert active.tolist() == [0, 1, 2]
    assert silent.tolist() == [1.0, 0.0, 1.0]


def test_who_became_known_only_after_the_snapshot_is_not_in_it() -> None:
    at = 50 * DAY_US
    data = history((0, 0, Kind.VIEW, at - DAY_US), (1, 0, Kind.VIEW, at - DAY_US))
    late = replace(data, known_at_us=data.known_at_us + np.array([0, 2 * DAY_US]))

    active, _ = Churn(14, 30).cohort(late, at)

    assert active.tolist() == [0]


def test_no_snapshot_is_taken_whose_horizon_has_not_ended() -> None:
    config = ChurnConfig(snapshot_step_days=5.0, max_snapshots=3)

    assert [at // DAY_US for at in instants(_spanning(60), 60 * DAY_US, 14, config)] == [36, 41, 46]
    # Known up to day 46, snapshots end on day 32, and begin after the warm-up.
    assert [at // DAY_US for at in instants(_spanning(60), 46 * DAY_US, 14, config)] == [22, 27, 32]
    assert instants(_spanning(20), 20 * DAY_US, 14, config) == []
    assert instants(_spanning(14 + WARM_UP_DAYS), (14 + WARM_UP_DAYS) * DAY_US, 14, config)


def _spanning(days: int) -> Dataset:
    data = history((0, 0, Kind.VIEW, 0), (0, 0, Kind.VIEW, days * DAY_US))
    return Dataset(data, ("c",), IdMap(("i",)), ("",), (0,), (0,), 0, int(np.int64(days) * DAY_US))
