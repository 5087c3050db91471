"""The rules by name, in their order of truth: an earlier one decides where two cannot hold."""

from __future__ import annotations

# Never yield: an item that one of these withholds does not come back.
BANNED, UNDER_AGE, OUT_OF_STOCK = "banned", "under_age", "out_of_stock"
LOW_RATED = "low_rated"
NEVER_PURCHASED = "never_purchased"
EXCLUDED, ANCHOR, DUPLICATE = "excluded", "anchor", "duplicate"
FREQUENCY_CAP = "frequency_cap"
WITHHOLDING = (
    BANNED,
    UNDER_AGE,
    OUT_OF_STOCK,
    LOW_RATED,
    NEVER_PURCHASED,
    EXCLUDED,
    ANCHOR,
    DUPLICATE,
)
# Place, limit and shift what is left.
PIN = "pin"
CATEGORY_SHARE, SEEN_SHARE = "category_share", "seen_share"
BOOST, DIVERSITY, EXPLORATION = "boost", "diversity", "exploration"
# Shortens what was asked for, before all of them.
LENGTH = "length"
