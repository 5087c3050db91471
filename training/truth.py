"""What the simulated shop knows of departures; absent for real histories."""

from __future__ import annotations

from pathlib import Path

import duckdb


def left_at_us(folder: Path) -> dict[str, int] | None:
    """Customer id -> the instant of leaving for good; None without a simulated shop.

    It judges churn models and teaches none.
    """
    path = folder / "customers.parquet"
    if not path.is_file():
        return None
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT customer_id, churned_at_us FROM read_parquet(?) "
            "WHERE churned_at_us IS NOT NULL",
            [str(path)],
        ).fetchall()
    return {str(customer_id): int(at_us) for customer_id, at_us in rows}
