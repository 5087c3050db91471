"""The holdout of the published sample, and what a snapshot may see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.silent import Silent
from training.lifetime.history import buyers_by
from training.reproduce import cdnow
from training.reproduce.cdnow import FEATURES, Purchases


def test_the_published_lifetime_table_comes_out(shared: Path) -> None:
    folder = shared / "data/cdnow"
    table = cdnow.lifetime(
        cdnow.read(folder / "cdnow_sample.parquet", "sample_customer_id"),
        cdnow.read_summary(folder / "cdnow_customers_summary.csv.gz"),
        Silent(),
    )

    assert table.statistics == {
        "customers": 2_357,
        "repeat purchases learnt from": 2_457,
        "purchases in the holdout": 1_882,
        "customers whose spending is known": 946,
    }
    measured = {row.model: row.figures for row in table.rows if row.origin != "published"}
    missed = [check for check in table.checks if not check.met_by(measured[check.model])]
    assert not missed
    assert round(measured["past rate held on"]["holdout_correlation"], 3) == 0.584


def test_a_snapshot_ends_before_its_day_and_its_label_begins_after_the_gap() -> None:
    day = int(np.datetime64("1998-04-01").astype(np.int64))
    days = [
        (0, day - 5), (0, day + 13),  # buys within the gap only: silent
        (1, day - 9), (1, day - 5), (1, day + 14),  # the first day after the gap
        (2, day - 181),  # not active
        (3, day - 1), (3, day + 43),  # the last day that counts
        (4, day - 1), (4, day + 44),  # too late: silent
        (5, day),  # nobody knows this customer yet
    ]  # fmt: skip
    customer, when = np.array(days).T
    bought = Purchases(customer, when, np.ones(len(when)), np.full(len(when), 10.0))

    rows = cdnow.rows_at(bought, np.datetime64("1998-04-01"), active=True)

    assert rows.customer_R.tolist() == [0, 1, 3, 4]
    assert rows.labels_R.tolist() == [1.0, 0.0, 0.0, 1.0]
    named = dict(zip(FEATURES, rows.features_RF.T, strict=True))
    assert named["purchase_age_days"].tolist() == [5, 5, 1, 1]
    assert named["days_bought"].tolist() == [1, 2, 1, 1]
    assert named["spend_30d"].tolist() == [10, 20, 10, 10]
    assert named["last_gap_days"][1] == named["mean_gap_days"][1] == 4
    assert np.isnan(named["mean_gap_days"][0])
    assert cdnow.rows_at(bought, np.datetime64("1998-04-01"), active=False).customer_R[2] == 2


def test_every_training_label_has_matured_before_the_test() -> None:
    learnt = [str(day) for day in cdnow._matured(cdnow._TEST)]

    assert (learnt[0], learnt[-1]) == ("1997-04-01", "1998-02-01")  # 1 March ends on 14 April
    assert str(cdnow._matured(np.datetime64("1998-02-01"))[-1]) == "1997-12-01"


def test_spending_leaves_out_the_first_purchase_and_who_never_paid() -> None:
    bought = Purchases(
        np.array([0, 0, 0, 1, 2, 2]),
        np.array([1, 2, 3, 1, 1, 2]),
        np.ones(6),
        np.array([99.0, 10.0, 20.0, 5.0, 7.0, 0.0]),
    )
    buyers = buyers_by(bought.customer_N, bought.day_N, 9)

    times, means = cdnow.repeat_spending(bought, buyers)

    assert (times.tolist(), means.tolist()) == ([2.0], [pytest.approx(15.0)])
