"""What the simulated shop knows and models must not see: tastes, and who has left.

It lies in `settings.truth`, apart from the history, for whoever judges models, experiments
and churn warnings. Anyone may read the Parquet files;

`customers.parquet`, one row for each customer:

- `customer_id`
- `taste`: log share of interest in each category, in the order of `shop.json`'s `categories`
- `top_category`: the one liked best
- `style`: unit vector; `3 * (style . item style) + 0.4 * quality` is the liking of an item
  within its category, less `price_sense * ln(price / the category's median price)`
- `price_sense`, `visits_per_day`, `arrived_at_us`
- `personalizes`: false for those who granted analytics alone
- `satisfaction`: 0 to 1, at the end of the history
- `fading_from_us`, `fading_until_us`: the drift that is going on or ended in churn; null: none
- `churned_at_us`: the customer does nothing from here on, ever; null: still a customer
- `paused_from_us`, `paused_until_us`: lists; absences that are no churn
- `purchased_item_ids`

`items.parquet`: `item_id`, `category`, `style`, `quality`, `popularity` (log weight),
`price_cents`, `arrived_at_us`.

`shop.json`: the parameters, the fingerprint, the categories and the number of events. It is
written last: where it is missing, no shop was finished.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.shop.life import NEVER, Lives
from ingestion.shop.world import CATEGORIES, Bools, Customers, Floats, Ints, Items, World
from nearline.errors import PermanentError
from nearline.history import write_atomically

CUSTOMERS, ITEMS, SHOP = "customers.parquet", "items.parquet", "shop.json"
_NAMES = [category.name for category in CATEGORIES]


class Shop(msgspec.Struct, frozen=True, kw_only=True):
    """What `shop.json` says: how this shop was drawn."""

    fingerprint: str
    customers: int
    items: int
    days: int
    seed: int
    until_us: int
    events: int
    categories: list[str] = msgspec.field(default_factory=lambda: list(_NAMES))


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The world, and each customer's course through it. Axis C: rows of `world.customers`."""

    shop: Shop
    world: World
    churned_at_us_C: Ints  # 0: has not
    purchased: list[set[int]]  # item rows

    def has_churned_C(self, at_us: int) -> Bools:
        """Who had left for good by an instant."""
        left: Bools = (self.churned_at_us_C > NEVER) & (self.churned_at_us_C <= at_us)
        return left

    def taste_I(self, customer: int) -> Floats:
        """How much a customer likes each item of the whole shop, popularity apart."""
        taste_K = self.world.customers.taste_CK[customer]
        tastes: Floats = self.world.utility_I(customer) + taste_K[self.world.items.category_I]
        return tastes

    def taste(self, customer_id: str, item_id: str) -> float:
        """The same by id; raises ValueError for an id that is not of this shop."""
        customer = self.world.customers.ids.index(customer_id)
        return float(self.taste_I(customer)[self.world.items.ids.index(item_id)])


def save(folder: Path, shop: Shop, world: World, lives: Lives) -> None:
    """Write the truth; `shop.json` comes last and makes it whole."""
    write_atomically(folder / CUSTOMERS, _customers_table(world, lives))
    write_atomically(folder / ITEMS, _items_table(world.items))
    aside = folder / f".{SHOP}.tmp"
    aside.write_bytes(msgspec.json.format(msgspec.json.encode(shop), indent=2) + b"\n")
    aside.rename(folder / SHOP)


def read_shop(folder: Path) -> Shop | None:
    """How the finished shop was drawn; None where there is none."""
    try:
        return msgspec.json.decode((folder / SHOP).read_bytes(), type=Shop)
    except FileNotFoundError:
        return None


def load(folder: Path) -> Truth:
    """The whole truth; raises PermanentError where no shop was generated."""
    shop = read_shop(folder)
    if shop is None:
        raise PermanentError(
            f"there is no simulated shop in {folder}: make one with `nearline shop generate`"
        )
    people, goods = pq.read_table(folder / CUSTOMERS), pq.read_table(folder / ITEMS)
    items = Items.of(
        ids=goods["item_id"].to_pylist(),
        category_I=np.array([_NAMES.index(name) for name in goods["category"].to_pylist()]),
        style_IS=_matrix(goods["style"]),
        quality_I=goods["quality"].to_numpy(),
        popularity_I=goods["popularity"].to_numpy(),
        price_cents_I=goods["price_cents"].to_numpy(),
        arrived_at_us_I=goods["arrived_at_us"].to_numpy(),
    )
    customers = Customers(
        ids=people["customer_id"].to_pylist(),
        taste_CK=_matrix(people["taste"]),
        style_CS=_matrix(people["style"]),
        price_sense_C=people["price_sense"].to_numpy(),
        visits_per_day_C=people["visits_per_day"].to_numpy(),
        arrived_at_us_C=people["arrived_at_us"].to_numpy(),
        personalizes_C=np.array(people["personalizes"].to_pylist(), dtype=np.bool_),
    )
    row_of = {item_id: row for row, item_id in enumerate(items.ids)}
    churned = [at_us or NEVER for at_us in people["churned_at_us"].to_pylist()]
    return Truth(
        shop=shop,
        world=World(items, customers),
        churned_at_us_C=np.array(churned, dtype=np.int64),
        purchased=[{row_of[i] for i in held} for held in people["purchased_item_ids"].to_pylist()],
    )


def _customers_table(world: World, lives: Lives) -> pa.Table:
    customers, ids = world.customers, world.items.ids
    top_C = customers.taste_CK.argmax(axis=1)
    return pa.table(
        {
            "customer_id": customers.ids,
            "taste": list(customers.taste_CK),
            "top_category": [_NAMES[top] for top in top_C],
            "style": list(customers.style_CS),
            "price_sense": customers.price_sense_C,
            "visits_per_day": customers.visits_per_day_C,
            "arrived_at_us": customers.arrived_at_us_C,
            "personalizes": customers.personalizes_C,
            "satisfaction": lives.satisfaction_C,
            "fading_from_us": _or_null(lives.fading_from_us_C),
            "fading_until_us": _or_null(
                np.where(lives.fading_from_us_C > NEVER, lives.fading_until_us_C, NEVER)
            ),
            "churned_at_us": _or_null(lives.churned_at_us_C),
            "paused_from_us": _lists([[a for a, _ in held] for held in lives.pauses], pa.int64()),
            "paused_until_us": _lists([[b for _, b in held] for held in lives.pauses], pa.int64()),
            "purchased_item_ids": _lists(
                [[ids[row] for row in sorted(mind.purchased)] for mind in lives.minds], pa.string()
            ),
        }
    )


def _items_table(items: Items) -> pa.Table:
    return pa.table(
        {
            "item_id": items.ids,
            "category": [_NAMES[category] for category in items.category_I],
            "style": list(items.style_IS),
            "quality": items.quality_I,
            "popularity": items.popularity_I,
            "price_cents": items.price_cents_I,
            "arrived_at_us": items.arrived_at_us_I,
        }
    )


def _or_null(instants: Ints) -> pa.Array:
    return pa.array(instants, pa.int64(), mask=instants == NEVER)


def _lists(rows: list[list[int]] | list[list[str]], value: pa.DataType) -> pa.Array:
    return pa.array(rows, pa.list_(value))


def _matrix(column: pa.ChunkedArray) -> Floats:
    return np.array(column.to_pylist(), dtype=np.float64)
