"""History read for learning: who met which item, when and how, in the order of serving.

Item listings are read, and the events whose customer consented to personalization. The order
within a customer is that of `CustomerState.recent`: time, then the tie-breaking key, so a sequence
here is what the encoder will be given online.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nearline import history
from nearline.contracts.event import EXPOSURE, ITEM_LISTED, KIND_OF_NAME, Purpose, stable_key
from nearline.errors import PermanentError
from training import exposed, stated
from training.config import SplitConfig
from training.exposed import Shown
from training.stated import Stated

# Axes: N interactions, sorted by customer and then in serving's order.
Ints = npt.NDArray[np.int64]


class NotEnoughHistory(PermanentError):
    """The history cannot teach a model; the champion that serves stays."""

    def __init__(self, what: str, do: str) -> None:
        self.what, self.do = what, do
        super().__init__(f"training needs more history: {what}. {do} The champion stays as it is.")


@dataclass(frozen=True)
class IdMap:
    """item_id to item_index and back; indices count from 0 in the order of ids."""

    item_ids: tuple[str, ...]

    @cached_property
    def index_of(self) -> dict[str, int]:
        return {item_id: index for index, item_id in enumerate(self.item_ids)}

    def __len__(self) -> int:
        return len(self.item_ids)


@dataclass(frozen=True)
class Interactions:
    """N interactions of customers with items. `customer` and `item` are rows, kinds 1 to 4."""

    customer: Ints
    item: Ints
    kind: Ints
    occurred_at_us: Ints
    known_at_us: Ints

    def __len__(self) -> int:
        return len(self.customer)

    def pick(self, keep: npt.NDArray[np.bool_]) -> Interactions:
        """The marked interactions, in the same order."""
        return Interactions(
            self.customer[keep],
            self.item[keep],
            self.kind[keep],
            self.occurred_at_us[keep],
            self.known_at_us[keep],
        )

    def until(self, instant_us: int) -> Interactions:
        """What was known at the instant: what a phone sent later is not among it."""
        return self.pick(self.known_at_us <= instant_us)

    def ranges(self) -> list[tuple[int, int, int]]:
        """(customer, first place, place behind the last) of each customer present."""
        if not len(self):
            return []
        starts = np.flatnonzero(np.diff(self.customer, prepend=-1))
        ends = np.append(starts[1:], len(self))
        return [
            (int(self.customer[start]), int(start), int(end))
            for start, end in zip(starts, ends, strict=True)
        ]


@dataclass(frozen=True)
class Dataset:
    """All that a run learns from: interactions, ids, and what is known of each item."""

    interactions: Interactions
    customer_ids: tuple[str, ...]
    items: IdMap
    categories: tuple[str, ...]  # as in `ItemState`, "" where unknown; by item_index
    prices_cents: tuple[int, ...]  # likewise, 0 where unknown
    first_seen_us: tuple[int, ...]  # when the listing, or the first event, became known
    from_us: int
    to_us: int  # when the newest interaction occurred: parts and labels end here
    shown: tuple[Shown, ...] = ()  # lists from the log of exposures, by time

    stated_categories: Stated | None = None
    stated_prices: Stated | None = None

    @property
    def known_to_us(self) -> int:
        """When the newest interaction became known: what serves is learnt up to here."""
        return int(self.interactions.known_at_us.max())

    def categories_by(self, instant_us: int) -> tuple[str, ...]:
        """Each item's category as a bundle made at an instant would hold it, "" where unknown."""
        held = self.stated_categories
        return self.categories if held is None else held.by(instant_us, "", self.first_seen_us)

    def prices_by(self, instant_us: int) -> tuple[int, ...]:
        """Each item's price likewise, in cents, 0 where unknown."""
        held = self.stated_prices
        return self.prices_cents if held is None else held.by(instant_us, 0, self.first_seen_us)

    def known_by(self, instant_us: int) -> npt.NDArray[np.bool_]:
        """(I,): the items that a bundle made at an instant would hold."""
        return np.array(self.first_seen_us, np.int64) <= instant_us


@dataclass(frozen=True, slots=True)
class Split:
    """Two instants: learn up to the first, choose up to the second, judge after it."""

    train_until_us: int
    validate_until_us: int
    test_until_us: int


def read(root: Path, at: history.Snapshot | None = None) -> Dataset:
    """Read history as it stood at a snapshot (by default: stands now).

    Exactly the snapshot's events, each once, even while history grows and its files are merged.
    Raises NotEnoughHistory when it holds nothing to learn from.
    """
    at = at or history.snapshot(root)
    if not at.files:
        raise NotEnoughHistory(
            f"{root} holds no events",
            "Generate some with `nearline shop generate`, or import some with `nearline import`.",
        )
    with duckdb.connect() as connection:
        connection.register("past", _past(root, at))
        connection.execute(_EVENTS, [[ITEM_LISTED, EXPOSURE, *KIND_OF_NAME]])
        return _dataset(connection)


def split(interactions: Interactions, config: SplitConfig) -> Split:
    """Cut the history at two instants, so that the parts hold the shares asked for.

    Raises NotEnoughHistory when a part would be empty.
    """
    at_us = np.sort(interactions.occurred_at_us)
    train_share = 1.0 - config.validation_share - config.test_share
    first = int(at_us[int(train_share * (len(at_us) - 1))])
    second = int(at_us[int((1.0 - config.test_share) * (len(at_us) - 1))])
    last = int(at_us[-1])
    if not int(at_us[0]) < first < second < last:
        raise NotEnoughHistory(
            f"its {len(at_us)} interactions cannot be parted by time into learning, "
            "validation and test",
            "Let it grow: some hundreds, over at least a few days.",
        )
    return Split(first, second, last)


def _past(root: Path, at: history.Snapshot) -> pa.RecordBatchReader:
    """The snapshot's events, day by day, without the columns that nobody learns from."""
    days = (day for _, day in history.read_days(root, at, _COLUMNS))
    schema = pa.schema([history.SCHEMA.field(name) for name in _COLUMNS])
    return pa.RecordBatchReader.from_batches(
        schema, (batch for day in days for batch in day.to_batches())
    )


def _dataset(connection: duckdb.DuckDBPyConnection) -> Dataset:
    """What the table `events` teaches."""
    connection.execute(_LINES, [ITEM_LISTED, list(KIND_OF_NAME), str(Purpose.PERSONALIZATION)])
    catalogue = connection.execute(_CATALOGUE).fetchall()
    found = connection.execute(_INTERACTIONS, [list(KIND_OF_NAME)]).fetchnumpy()
    rows = {name: np.asarray(column) for name, column in found.items()}
    if not len(rows["customer_id"]):
        raise NotEnoughHistory(
            "none of its events is an interaction with an item that its customer allowed to use",
            "Check the consent and the names of what is sent: view_item, add_to_cart, purchase.",
        )
    items = IdMap(tuple(row[0] for row in catalogue))
    customer_ids, customer = np.unique(rows["customer_id"].astype(str), return_inverse=True)
    index_of = items.index_of
    row_of = {who: row for row, who in enumerate(customer_ids.tolist())}
    interactions = _in_serving_order(
        customer.astype(np.int64),
        np.array([index_of[item_id] for item_id in rows["item_id"]], np.int64),
        np.array([KIND_OF_NAME[name] for name in rows["name"]], np.int64),
        rows,
    )
    return Dataset(
        interactions=interactions,
        customer_ids=tuple(customer_ids.tolist()),
        items=items,
        categories=tuple(row[1] or "" for row in catalogue),
        prices_cents=tuple(row[2] or 0 for row in catalogue),
        first_seen_us=tuple(row[3] for row in catalogue),
        from_us=int(interactions.occurred_at_us.min()),
        to_us=int(interactions.occurred_at_us.max()),
        stated_categories=stated.read(connection, "category", "category <> ''", index_of),
        stated_prices=stated.read(connection, "price_cents", "price_cents > 0", index_of),
        shown=tuple(exposed.read_shown(connection, row_of, index_of)),
    )


def _in_serving_order(
    customer: Ints, item: Ints, kind: Ints, rows: dict[str, npt.NDArray[Any]]
) -> Interactions:
    occurred = rows["occurred_at_us"].astype(np.int64)
    key = np.zeros(len(customer), np.int64)
    order = np.lexsort((occurred, customer))
    tied = np.zeros(len(customer), bool)
    same = (np.diff(customer[order]) == 0) & (np.diff(occurred[order]) == 0)
    tied[order[1:][same]] = tied[order[:-1][same]] = True
    for place in np.flatnonzero(tied):  # Hashing is slow; only ties need it.
        key[place] = stable_key(f"{rows['event_id'][place]}/{rows['number'][place]}")
    # `recent` is newest first with keys ascending, so oldest first they descend.
    order = np.lexsort((-key, occurred, customer))
    known = rows["known_at_us"].astype(np.int64)
    return Interactions(customer[order], item[order], kind[order], occurred[order], known[order])


_COLUMNS = (
    *("event_id", "type", "name", "customer_id"),
    *("occurred_at_us", "known_at_us", "lines", "consent"),
)
_EVENTS = (
    "CREATE TABLE events AS SELECT * FROM past WHERE type = 'track' AND list_contains(?, name)"
)
_LINES = """
CREATE TABLE lines AS
SELECT event_id, name, customer_id, occurred_at_us, known_at_us,
       number - 1 AS number, line.item_id, line.price_cents, line.category,
       (name = $1, occurred_at_us) AS weight  -- of what it states, as in `ItemState`
FROM (
    SELECT event_id, name, customer_id, occurred_at_us, known_at_us,
           UNNEST(lines) AS line, UNNEST(range(1, len(lines) + 1)) AS number
    FROM events
    WHERE name = $1  -- a listing is not a customer's behaviour
       OR (list_contains($2, name) AND list_contains(consent, $3))
)
"""
_CATALOGUE = """
SELECT item_id,
       arg_max(category, (weight, category)) FILTER (category <> ''),
       arg_max(price_cents, (weight, price_cents)) FILTER (price_cents > 0),
       min(known_at_us)
FROM lines GROUP BY item_id ORDER BY item_id
"""
_INTERACTIONS = """
SELECT event_id, name, customer_id, occurred_at_us, known_at_us, number, item_id
FROM lines WHERE list_contains(?, name) ORDER BY event_id, number
"""
