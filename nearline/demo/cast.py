"""Who plays in the story: chosen from the history with SQL, differently on each run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from nearline import history as history_files
from nearline.errors import PermanentError

_ACTIONS = "('view_item', 'add_to_cart', 'purchase', 'add_to_wishlist')"


@dataclass(frozen=True, slots=True)
class Click:
    """An item that the customer is about to look at."""

    item_id: str
    category: str
    price_cents: int


class Cast:
    """Chooses customers and clicks. `run` varies the choice from one demo to the next."""

    def __init__(self, history: Path, run: int) -> None:
        self._db = duckdb.connect()
        self._run = run
        # Not a glob: while closed days are merged, it would count some events twice.
        paths = [str(path) for path in history_files.files(history)]
        if not paths:
            raise _nobody(history)
        self._db.execute(
            f"""
            create table line as
            select customer_id, name, occurred_at_us, l.item_id as item_id,
                   coalesce(l.category, '') as category, coalesce(l.price_cents, 0) as price_cents
            from (select *, unnest(lines) as l
                  from read_parquet({paths}, hive_partitioning = false)
                  where name in {_ACTIONS} and list_contains(consent, 'personalization'))
            """
        )
        self._newest_us = self._one("select max(occurred_at_us) from line")[0]
        if self._newest_us is None:
            raise _nobody(history)

    def customer(self) -> str:
        """Somebody who shopped lately and has a past, but is not extreme."""
        return str(
            self._one(
                """
                select customer_id from line group by customer_id
                having count(*) between 12 and 300
                   and max(occurred_at_us) > ? - 7 * 86400000000
                order by hash(customer_id || ?) limit 1
                """,
                [self._newest_us, str(self._run)],
                otherwise="select customer_id from line group by 1 order by count(*) desc limit 1",
            )[0]
        )

    def clicks(self, customer_id: str, shown: set[str], shown_categories: set[str]) -> list[Click]:
        """Three popular items of an interest that the customer has not shown yet.

        With categories: of one that is not in the list. Without: that another customer looked
        at in a row. Never an item that the customer knows or was just shown.
        """
        known = "select item_id from line where customer_id = ?"
        rows = self._db.execute(
            f"""
            with fresh as (
              select category, item_id, count(*) as events,
                     arg_max(price_cents, occurred_at_us) as price_cents
              from line
              where item_id not in ({known}) and item_id not in (select unnest(?))
                and category <> '' and category not in (select unnest(?))
                and occurred_at_us > ? - 14 * 86400000000
              group by category, item_id)
            select item_id, category, price_cents from fresh
            where category = (select category from fresh group by category having count(*) >= 3
                              order by hash(category || ?) limit 1)
            order by events desc, item_id limit 3
            """,
            [customer_id, sorted(shown), sorted(shown_categories), self._newest_us, str(self._run)],
        ).fetchall()
        if len(rows) < 3:
            rows = self._db.execute(
                f"""
                with visit as (
                  select customer_id, item_id, max(occurred_at_us) as at_us,
                         any_value(category) as category, max(price_cents) as price_cents
                  from line
                  where customer_id <> ? and item_id not in ({known})
                    and item_id not in (select unnest(?))
                  group by customer_id, item_id)
                select item_id, category, price_cents from visit
                where customer_id = (select customer_id from visit group by customer_id
                                     having count(*) >= 3
                                     order by hash(customer_id || ?) limit 1)
                order by at_us desc, item_id limit 3
                """,
                [customer_id, customer_id, sorted(shown), str(self._run)],
            ).fetchall()
        if len(rows) < 3:
            raise PermanentError(
                "too few items in this history for the story: it needs three that the customer "
                "does not know and was not shown. Use a larger log, or the simulated shop "
                "(`nearline demo`)."
            )
        return [Click(str(row[0]), str(row[1]), int(row[2])) for row in rows]

    def loyal_and_fading(self, but_not: str) -> tuple[str, str]:
        """One customer who is here all the time, and one who has not been seen for a while."""
        recency = """
            select customer_id, count(*) as events, (? - max(occurred_at_us)) / 86400e6 as away_days
            from line where customer_id <> ? group by customer_id
        """
        args = [self._newest_us, but_not]
        loyal = self._one(
            f"select customer_id from ({recency}) where away_days < 2 order by events desc limit 1",
            args,
            otherwise=f"select customer_id from ({recency}) order by away_days limit 1",
        )[0]
        fading = self._one(
            f"select customer_id from ({recency}) where away_days between 10 and 25 "
            "order by hash(customer_id) limit 1",
            args,
            otherwise=f"select customer_id from ({recency}) order by away_days desc limit 1",
        )[0]
        return str(loyal), str(fading)

    def _one(
        self, query: str, args: list[object] | None = None, otherwise: str | None = None
    ) -> tuple[object, ...]:
        row = self._db.execute(query, args or []).fetchone()
        if row is None and otherwise is not None:
            row = self._db.execute(otherwise, args if "?" in otherwise else []).fetchone()
        if row is None:
            raise PermanentError(
                "too few customers in this history for the story: it needs at least two. "
                "Use a larger log, or the simulated shop (`nearline demo`)."
            )
        return tuple(row)


def _nobody(history: Path) -> PermanentError:
    return PermanentError(
        f"{history} holds no events that may be used for recommendations: nobody can play in "
        "the story. Remove the demo's folder and run it again."
    )
