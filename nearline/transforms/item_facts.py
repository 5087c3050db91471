"""What a shop states of its items for the rules: stock, rating, ban, least age, repurchase. Pure.

A state keeps, of each fact, the newest stated value as a row `(code, at_us, value)`; `code` is
the fact's place in `StatedFacts`. Rows add in any order. A fact that nobody stated has no row.
"""

from __future__ import annotations

from dataclasses import dataclass

from nearline.contracts.event import StatedFacts
from nearline.transforms.buckets import Row, Rows

FACT_COLUMNS = 2  # at_us, value: what a row holds beside its code

_NAMES = StatedFacts.__struct_fields__


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """What is known of one item; None, False and 0 stand where nobody stated anything.

    `stock` is in units, 0 out of stock. `rating_hundredths` lies in [0, 500]: 435 is 4.35
    stars. An item may be offered to its buyer again `repurchase_days` after the purchase; 0:
    never again.
    """

    stock: int | None = None
    rating_hundredths: int | None = None
    banned: bool = False
    min_age_years: int = 0
    repurchase_days: int = 0


UNKNOWN_FACTS = ItemFacts()


def rows_of(stated: StatedFacts | None, at_us: int) -> Rows:
    """The rows of what one event states at an instant, by code."""
    if stated is None:
        return ()
    return tuple(
        (code, at_us, int(value))
        for code, name in enumerate(_NAMES)
        if (value := getattr(stated, name)) is not None
    )


def merge_facts(left: Rows, right: Rows) -> Rows:
    """The newest row of each fact, by code; of equally new ones the larger value."""
    if not left or not right:
        return left or right
    newest: dict[int, Row] = {}
    for row in (*left, *right):
        held = newest.get(row[0])
        newest[row[0]] = row if held is None else max(held, row)
    return tuple(sorted(newest.values()))


def facts_of(rows: Rows) -> ItemFacts:
    """What the rows of a state say; codes of a later version are passed over."""
    if not rows:
        return UNKNOWN_FACTS
    value_of = {_NAMES[code]: value for code, _at_us, value in rows if code < len(_NAMES)}
    return ItemFacts(
        stock=value_of.get("stock"),
        rating_hundredths=value_of.get("rating_hundredths"),
        banned=bool(value_of.get("banned")),
        min_age_years=value_of.get("min_age_years", 0),
        repurchase_days=value_of.get("repurchase_days", 0),
    )
