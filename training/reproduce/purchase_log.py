"""RetailRocket's log of repeat buyers, and the same without one purchase of each customer.

The published test holds out one purchased item of each customer: it occurs in the log under no
event, and has no time. So each customer is asked about at the end of the own log, and whatever is
learnt or chosen uses copies of the log that lack a purchase in the very same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from nearline.contracts.event import Kind
from nearline.transforms.customer import RECENT_LIMIT
from training.datasets import Interactions
from training.sequences import Questions, padded

# Axes: Q questions (one customer each), L places in the history (oldest first).
Ints = npt.NDArray[np.int64]

CUSTOMERS, ITEMS, EVENTS = 2_174, 30_113, 97_381  # As published.
_KINDS = {"view": Kind.VIEW, "cart": Kind.CART, "purchase": Kind.PURCHASE}


@dataclass(frozen=True)
class HeldOut:
    """A log that lacks one purchased item of some customers, and which item each of them bought."""

    log: Interactions  # by customer, then by time
    customer_Q: Ints
    target_Q: Ints

    def questions(self) -> Questions:
        """What did they buy? Items that they are known to have bought do not compete."""
        items = np.zeros((len(self.customer_Q), RECENT_LIMIT), np.int64)
        kinds = np.zeros_like(items)
        range_of = {customer: (start, end) for customer, start, end in self.log.ranges()}
        asked_at, bought = [], []
        for row, customer in enumerate(self.customer_Q.tolist()):
            start, end = range_of[customer]
            newest = slice(max(start, end - RECENT_LIMIT), end)
            items[row] = padded(self.log.item[newest] + 1, RECENT_LIMIT)
            kinds[row] = padded(self.log.kind[newest], RECENT_LIMIT)
            asked_at.append(int(self.log.occurred_at_us[end - 1]) + 1)
            own = self.log.item[start:end]
            bought.append(np.unique(own[self.log.kind[start:end] == Kind.PURCHASE]))
        return Questions(items, kinds, self.target_Q, np.array(asked_at, np.int64), tuple(bought))


def read(folder: Path) -> HeldOut:
    """The published log and test; raises ValueError where they are not of the published size.

    Also raises where a test purchase occurs in the log: the test would be a memory test.
    """
    with duckdb.connect() as connection:
        events = connection.execute(
            "SELECT user_id, item_id, event, epoch_us(event_time) AS at_us FROM read_parquet(?)",
            [str(folder / "events.parquet")],
        ).fetchnumpy()
        test = connection.execute(
            "SELECT user_id, item_id FROM read_parquet(?) ORDER BY user_id",
            [str(folder / "test_purchases.parquet")],
        ).fetchnumpy()
    customer, item, at_us = (
        np.asarray(events[name]).astype(np.int64) for name in ("user_id", "item_id", "at_us")
    )
    kind = np.array([_KINDS[name] for name in events["event"]], np.int64)
    order = np.lexsort((item, kind, at_us, customer))
    log = Interactions(customer[order], item[order], kind[order], at_us[order], at_us[order])
    held = HeldOut(
        log,
        np.asarray(test["user_id"]).astype(np.int64),
        np.asarray(test["item_id"]).astype(np.int64),
    )
    if (len(log), len(held.customer_Q)) != (EVENTS, CUSTOMERS):
        raise ValueError(
            f"{folder} holds {len(log)} events and {len(held.customer_Q)} test purchases; "
            f"published are {EVENTS} and {CUSTOMERS}"
        )
    leaks = int(
        np.isin(_pairs(held.customer_Q, held.target_Q), _pairs(log.customer, log.item)).sum()
    )
    if leaks:
        raise ValueError(f"{leaks} test purchases of {folder} occur in its log")
    return held


def hold_out(log: Interactions, newest: int, leaving: int) -> HeldOut:
    """The log without the `newest`-th newest purchased item (0: the newest) of each customer.

    Every event of the customer with that item goes, as upstream removed them. Customers are asked
    about who keep at least `leaving` purchases and one event. Most baskets are of one instant, so
    chance (always the same) says which of their items is newer: item numbers are no accident.
    """
    bought = log.pick(log.kind == Kind.PURCHASE)
    chance = np.random.default_rng(0).random(len(bought))
    order = np.lexsort((chance, -bought.occurred_at_us, bought.customer))
    customer, item = bought.customer[order], bought.item[order]
    starts = np.flatnonzero(np.diff(customer, prepend=-1))
    counts = np.diff(np.append(starts, len(customer)))
    enough = counts >= max(newest, leaving) + 1
    places = starts[enough] + newest
    asked, target = customer[places], item[places]
    kept = log.pick(~np.isin(_pairs(log.customer, log.item), _pairs(asked, target)))
    present = np.isin(asked, kept.customer)
    return HeldOut(kept, asked[present], target[present])


def _pairs(customer: Ints, item: Ints) -> Ints:
    return customer * ITEMS + item
