"""The table as published, and the reference that everybody reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.reproduce import telco


def test_the_table_has_its_published_size_and_the_reference_comes_out(shared: Path) -> None:
    rows, names = telco.read(shared / "data/telco_churn/telco_customer_churn.csv.gz")

    assert (len(rows), int(rows.labels_R.sum())) == (7_043, 1_869)
    assert not np.isnan(rows.features_RF).any()
    assert not any("Churn" in name or "customerID" in name for name in names)
    found = telco.judge(rows, telco._logistic)
    assert (round(found["auc"], 3), round(found["ap"], 3)) == (0.845, 0.654)
