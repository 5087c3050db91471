"""What `item_listed` states of an item for the rules: stock, rating, ban, least age, repurchase."""

from __future__ import annotations

from collections.abc import Mapping

from ingestion.collector.limits import Refused
from ingestion.collector.numbers import hundredths_of, whole_of
from nearline.contracts.event import (
    MOST_MIN_AGE_YEARS,
    MOST_RATING_HUNDREDTHS,
    MOST_REPURCHASE_DAYS,
    MOST_STOCK,
    StatedFacts,
)

_STOCK = ("stock", "quantity_available")
FACT_FIELDS = frozenset((*_STOCK, "availability", "rating", "banned", "min_age", "repurchase_days"))
# Google Merchant Center's words. What may be ordered is there; how many there are is not said.
_UNITS_OF = {"in_stock": 1, "preorder": 1, "backorder": 1, "out_of_stock": 0}
_CODE = "fact_invalid"


def stated_facts(item: Mapping[str, object]) -> StatedFacts | None:
    """The facts among an item's properties, None where it states none; raises Refused.

    The stock is `stock`, else `quantity_available`, else what `availability` says of it.
    """
    if FACT_FIELDS.isdisjoint(item):
        return None
    facts = StatedFacts(
        stock=_stock(item),
        rating_hundredths=hundredths_of(
            item.get("rating"), "rating", MOST_RATING_HUNDREDTHS, code=_CODE, such_as="4.35"
        ),
        banned=_banned(item.get("banned")),
        min_age_years=_whole(item, "min_age", MOST_MIN_AGE_YEARS),
        repurchase_days=_whole(item, "repurchase_days", MOST_REPURCHASE_DAYS),
    )
    return facts if facts != StatedFacts() else None


def _stock(item: Mapping[str, object]) -> int | None:
    for field in _STOCK:
        units = _whole(item, field, MOST_STOCK)
        if units is not None:
            return units
    word = item.get("availability")
    if word is None or word == "":
        return None
    if not isinstance(word, str) or word not in _UNITS_OF:
        raise Refused(_CODE, f"availability must be one of {', '.join(_UNITS_OF)}")
    return _UNITS_OF[word]


def _whole(item: Mapping[str, object], field: str, most: int) -> int | None:
    return whole_of(item.get(field), field, 0, most, code=_CODE)


def _banned(value: object) -> bool | None:
    if value is None or value == "":
        return None
    if not isinstance(value, bool):
        raise Refused(_CODE, "banned must be true or false")
    return value
