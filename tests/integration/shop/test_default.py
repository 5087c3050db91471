"""The shop as the demo makes it: large enough, and with the proportions of a shop."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import duckdb
import pytest

from ingestion.shop import truth
from ingestion.shop.generate import Parameters, generate
from nearline.settings import Settings


@pytest.mark.slow
def test_the_default_shop_has_100_000_events_in_sane_proportions(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    parameters = Parameters(
        customers=2_000, items=1_500, days=60, seed=7, until_us=1_793_491_200_000_000
    )

    shop = generate(settings, parameters, replace=False)

    known = truth.load(settings.truth)
    files = f"{settings.history}/day=*/*.parquet"
    with duckdb.connect() as db:
        counts = Counter(
            dict(db.execute(f"select name, count(*) from '{files}' group by 1").fetchall())
        )
        (announced,) = db.execute(
            f"select count(*) from '{files}' where name = 'item_listed' and "
            "lines[1].facts.rating_hundredths is not null"
        ).fetchall()[0]
        favourite = db.execute(
            f"""
            select customer_id, arg_max(category, seen) from (
              select customer_id, lines[1].category as category, count(*) as seen
              from '{files}' where name <> 'item_listed' group by 1, 2)
            group by 1 having sum(seen) >= 20
            """
        ).fetchall()
        (top_tenth,) = db.execute(
            f"""
            select sum(seen) filter (where place <= 150) / sum(seen) from (
              select count(*) as seen, row_number() over (order by count(*) desc) as place
              from '{files}' where name = 'view_item' group by lines[1].item_id)
            """
        ).fetchall()[0]
    assert shop.events == counts.total() >= 100_000
    assert announced == 1_500
    assert 1_540 <= counts["item_listed"] <= 1_640  # Stock ran out and came back.
    assert 0.08 <= counts["add_to_cart"] / counts["view_item"] <= 0.13
    assert 0.025 <= counts["purchase"] / counts["view_item"] <= 0.045
    assert 0.25 <= (known.churned_at_us_C > 0).mean() <= 0.45
    assert 0.3 <= top_tenth <= 0.6  # a long tail: a tenth of the items, two fifths of the views
    ids = {customer_id: row for row, customer_id in enumerate(known.world.customers.ids)}
    names = known.shop.categories
    liked = [
        names[int(known.world.customers.taste_CK[ids[customer_id]].argmax())] == category
        for customer_id, category in favourite
    ]
    assert len(liked) > 1_000
    assert sum(liked) / len(liked) > 0.6
