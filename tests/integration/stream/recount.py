"""Features counted again in SQL over the Parquet history, from their definition alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

# A bucket's index is the instant divided by its width; a window keeps the last `keep` of them.
_TIERS = (
    ("minute_buckets", 60_000_000, 60),
    ("half_hour_buckets", 1_800_000_000, 48),
    ("quarter_day_buckets", 21_600_000_000, 120),
)

_SHAPES = """
create table shapes as
select *, case name when 'view_item' then 'v' when 'add_to_cart' then 'c'
               when 'purchase' then 'p' when 'add_to_wishlist' then 'f' end as kind,
       len(lines) as n,
       case when name <> 'purchase' then 0
            when value_cents is not null then value_cents
            else list_sum(list_transform(lines, lambda l: l.quantity * coalesce(l.price_cents, 0)))
       end::bigint as spend
from events
where type = 'track' and len(lines) > 0
  and (name = 'item_listed' or list_contains(consent, 'personalization'))
"""

_CUSTOMERS = """
select customer_id,
       min(occurred_at_us) as first_seen_us, max(occurred_at_us) as last_seen_us,
       coalesce(max(occurred_at_us) filter (kind = 'v'), 0) as last_view_us,
       coalesce(max(occurred_at_us) filter (kind = 'c'), 0) as last_cart_us,
       coalesce(max(occurred_at_us) filter (kind = 'p'), 0) as last_purchase_us,
       coalesce(sum(n) filter (kind = 'v'), 0)::bigint as views_total,
       coalesce(sum(n) filter (kind = 'c'), 0)::bigint as carts_total,
       coalesce(sum(n) filter (kind = 'p'), 0)::bigint as purchases_total,
       count(*) filter (kind = 'p') as orders_total,
       sum(spend)::bigint as spend_total_cents
from shapes where kind is not null group by customer_id
"""

_PURCHASED = """
select customer_id, list(item_id order by item_id) as purchased_item_ids,
       list(at_us order by item_id) as purchased_at_us
from (select customer_id, line.item_id as item_id, max(occurred_at_us) as at_us
      from (select customer_id, occurred_at_us, unnest(lines) as line from shapes where kind = 'p')
      group by all)
group by customer_id
"""

_CUSTOMER_BUCKETS = """
with hop as (
  select customer_id, occurred_at_us // {hop} as i,
         coalesce(sum(n) filter (kind = 'v'), 0)::bigint as v,
         coalesce(sum(n) filter (kind = 'c'), 0)::bigint as c,
         coalesce(sum(n) filter (kind = 'p'), 0)::bigint as p, sum(spend)::bigint as s
  from shapes where kind in ('v', 'c', 'p') group by all),
newest as (select customer_id, max(occurred_at_us) // {hop} as last
           from shapes where kind is not null group by all)
select customer_id, flatten(list([i, v, c, p, s] order by i))
from hop join newest using (customer_id)
where i > last - {keep} group by customer_id
"""

_PURCHASE_DAYS = """
select customer_id, flatten(list([day, orders] order by day))
from (select customer_id, occurred_at_us // 86400000000 as day, count(*) as orders
      from shapes where kind = 'p' group by all)
group by customer_id
"""

_ITEM_LINES = """
create table item_lines as
select line.item_id as item_id, kind, occurred_at_us, line.price_cents as price_cents,
       line.category as category, name = 'item_listed' as listed,
       case when listed then line.facts end as facts
from (select name, kind, occurred_at_us, unnest(lines) as line
      from shapes where kind is not null or name = 'item_listed')
"""

_ITEMS = """
select item_id, min(occurred_at_us) as first_seen_us, max(occurred_at_us) as last_seen_us,
       count(*) filter (kind = 'v') as views_total, count(*) filter (kind = 'c') as carts_total,
       count(*) filter (kind = 'p') as purchases_total,
       coalesce(bool_or(listed) filter (price_cents <> 0), false)::bigint as price_listed,
       coalesce(max((occurred_at_us, price_cents)) filter (listed and price_cents <> 0)[2],
                max((occurred_at_us, price_cents)) filter (price_cents <> 0)[2], 0) as price_cents,
       coalesce(bool_or(listed) filter (category <> ''), false)::bigint as category_listed,
       coalesce(max((occurred_at_us, category)) filter (listed and category <> '')[2],
                max((occurred_at_us, category)) filter (category <> '')[2], '') as category
from item_lines group by item_id
"""

_ITEM_BUCKETS = """
with hop as (
  select item_id, occurred_at_us // {hop} as i, count(*) filter (kind = 'v') as v,
         count(*) filter (kind = 'c') as c, count(*) filter (kind = 'p') as p
  from item_lines where kind in ('v', 'c', 'p') group by all),
newest as (select item_id, max(occurred_at_us) // {hop} as last from item_lines group by all)
select item_id, flatten(list([i, v, c, p] order by i)) from hop join newest using (item_id)
where i > last - {keep} group by item_id
"""

# A fact's code is its place here.
_FACTS = ("stock", "rating_hundredths", "banned::bigint", "min_age_years", "repurchase_days")
_ITEM_FACTS = " union all ".join(
    f"select item_id, {code} as code, occurred_at_us as at_us, facts.{name} as value "
    "from item_lines"
    for code, name in enumerate(_FACTS)
)
_NEWEST_FACTS = f"""
select item_id, flatten(list([code, said[1], said[2]] order by code)) from (
  select item_id, code, max([at_us, value]) as said
  from ({_ITEM_FACTS}) where value is not null group by all)
group by item_id
"""

Counted = dict[str, dict[str, Any]]


class Recount:
    """What the events in some history files amount to."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._db = duckdb.connect(config={"threads": 1})
        names = [str(path) for path in paths]
        self._db.execute(
            "create table events as select * from read_parquet(?, hive_partitioning = false)",
            [names],
        )
        self._db.execute(_SHAPES)
        self._db.execute(_ITEM_LINES)

    def close(self) -> None:
        self._db.close()

    def event_ids(self) -> list[str]:
        """Every event in the files, repeated where it is."""
        return [row[0] for row in self._db.execute("select event_id from events").fetchall()]

    def customers(self) -> Counted:
        counted = self._table(_CUSTOMERS)
        bought = self._table(_PURCHASED)
        days = dict(self._db.execute(_PURCHASE_DAYS).fetchall())
        for customer_id, row in counted.items():
            nothing = {"purchased_item_ids": [], "purchased_at_us": []}
            row |= bought.get(customer_id, nothing)
            row["purchase_days"] = days.get(customer_id, [])
        return self._with_buckets(counted, _CUSTOMER_BUCKETS)

    def items(self) -> Counted:
        counted = self._with_buckets(self._table(_ITEMS), _ITEM_BUCKETS)
        facts = dict(self._db.execute(_NEWEST_FACTS).fetchall())
        for item_id, row in counted.items():
            row["facts"] = facts.get(item_id, [])
        return counted

    def _table(self, query: str) -> Counted:
        cursor = self._db.execute(query)
        names = [column[0] for column in cursor.description][1:]
        return {row[0]: dict(zip(names, row[1:], strict=True)) for row in cursor.fetchall()}

    def _with_buckets(self, counted: Counted, query: str) -> Counted:
        for tier, hop, keep in _TIERS:
            rows = self._db.execute(query.format(hop=hop, keep=keep)).fetchall()
            buckets = dict(rows)
            for entity_id, row in counted.items():
                row[tier] = buckets.get(entity_id, [])
        return counted
