"""Who proposes items beside given ones (a product page's, a cart's), or of a category. Pure.

| source | proposes |
|---|---|
| `similar` | what lies nearest to the anchors, by learnt vector, arrivals' by content |
| `also_viewed` | what others met within the same visit |
| `bought_together` | what others bought beside the anchors, then what they put in a cart |
| `complements` | the same for the anchors or the last order, other categories first |
| `repurchase` | what the customer bought and may be due again |
| `category` | what a category holds: popular items first |

The anchors are given by row and never proposed. Rows that a table lacks (arrivals, in the tables
of co-visits) say nothing. `transforms.sources` holds the sources that ask about a customer alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import numpy.typing as npt

from nearline.transforms.buckets import DAY_US
from nearline.transforms.candidates import Proposal
from nearline.transforms.covisits import BOUGHT, BROWSED, CARTED
from nearline.transforms.customer import CustomerState, last_order
from nearline.transforms.item_facts import ItemFacts
from nearline.transforms.shelves import Shelves
from nearline.transforms.sources import Sources

# Axes: A anchors, K neighbours of each, N neighbours of all.
IntAK = npt.NDArray[np.int64]
FloatAK = npt.NDArray[np.float32]
IntN = npt.NDArray[np.int64]
FloatN = npt.NDArray[np.float32]
Weighed = Iterable[tuple[int, float]]  # (item row, weight above 0), heaviest first


def similar(
    sources: Sources,
    rows_AK: IntAK,
    cosines_AK: FloatAK,
    anchor_rows: Sequence[int],
    at_most: int,
) -> list[Proposal]:
    """What lies nearest to any anchor: the best cosine counts, ties go to what was named first.

    The arrays are the index's answer for the anchors that have a learnt vector, -1 where a row is
    missing; (0, K) where none has. Anchors that came after the bundle are looked for by content,
    among the bundle's items and then the arrivals. Nothing with a cosine of 0 or less is named.
    """
    rows, cosines = [rows_AK.ravel()], [cosines_AK.ravel()]
    unit_of, contents = sources.arrivals.unit_of, sources.contents
    units = [unit_of[row] for row in anchor_rows if row in unit_of]
    if units and contents is not None:
        depth = at_most + len(anchor_rows)
        for near in (contents, sources.arrivals):
            found = near.nearest_to_any(np.stack(units), depth)
            rows.append(np.array([row for row, _ in found], np.int64))
            cosines.append(np.array([cosine for _, cosine in found], np.float32))
    return _nearest(np.concatenate(rows), np.concatenate(cosines), set(anchor_rows), at_most)


def also_viewed(sources: Sources, anchor_rows: Sequence[int], at_most: int) -> list[Proposal]:
    """What others met within one visit with the anchors, by weight summed over them."""
    return _in_turn([_beside(sources, BROWSED, anchor_rows)], anchor_rows, at_most)


def bought_together(sources: Sources, anchor_rows: Sequence[int], at_most: int) -> list[Proposal]:
    """What others bought beside the anchors, then what they put in a cart, each by weight."""
    tiers = [_beside(sources, pair, anchor_rows) for pair in (BOUGHT, CARTED)]
    return _in_turn(tiers, anchor_rows, at_most)


def complements(
    sources: Sources, state: CustomerState, anchor_rows: Sequence[int], at_most: int
) -> list[Proposal]:
    """`bought_together`, with what is of another category than the anchors before the rest.

    Without anchors the items of the customer's last order stand for them. An item whose category
    is unknown is not of another.
    """
    index_of, categories = sources.catalogue.index_of, sources.catalogue.categories
    rows = anchor_rows or [index_of[one] for one in last_order(state) if one in index_of]
    theirs = {"", *(categories[row] for row in rows)}
    together = [list(_beside(sources, pair, rows)) for pair in (BOUGHT, CARTED)]
    others = [(one for one in tier if categories[one[0]] not in theirs) for tier in together]
    # Others have been named by then, so the rest is what is left of each.
    return _in_turn([*others, *together], rows, at_most)


def repurchase(
    index_of: Mapping[str, int],
    state: CustomerState,
    facts_of: Callable[[str], ItemFacts],
    as_of_us: int,
    anchor_rows: Sequence[int],
    at_most: int,
) -> list[Proposal]:
    """What the customer bought and may be due again, most overdue first.

    The score is the time since the newest purchase over the item's `repurchase_days`, 1 or
    more. Items that are never bought again (0 days) are not named. Ties go to the smaller item id.
    """
    due: list[tuple[float, str, int]] = []
    for item_id, at_us in state.purchased:
        since_us = as_of_us - at_us
        period_us = facts_of(item_id).repurchase_days * DAY_US
        if 0 < period_us <= since_us:
            row = index_of.get(item_id)
            if row is not None and row not in anchor_rows:
                due.append((-since_us / period_us, item_id, row))
    return [Proposal(row, -overdue) for overdue, _, row in sorted(due)[:at_most]]


def category(
    shelves: Shelves, name: str, anchor_rows: Sequence[int], at_most: int
) -> list[Proposal]:
    """The category's popular items, then its arrivals, then the rest newest first; 1 / rank."""
    named = shelves.named(name, at_most + len(anchor_rows))
    rows = [row for row in named if row not in anchor_rows][:at_most]
    return [Proposal(row, 1.0 / rank) for rank, row in enumerate(rows, start=1)]


def _nearest(
    rows_N: IntN, cosines_N: FloatN, without: AbstractSet[int], at_most: int
) -> list[Proposal]:
    """Each row at its best cosine, best first, sorting no more than it must."""
    looked_at = 4 * (at_most + len(without))  # A row may stand here once for each anchor.
    while True:
        everything = looked_at >= len(cosines_N)
        least = 0.0 if everything else float(np.partition(cosines_N, -looked_at)[-looked_at])
        places = np.flatnonzero((cosines_N >= least) & (cosines_N > 0.0) & (rows_N >= 0))
        best = places[np.argsort(-cosines_N[places], kind="stable")]
        found: dict[int, float] = {}
        for row, cosine in zip(rows_N[best].tolist(), cosines_N[best].tolist(), strict=True):
            if len(found) == at_most:
                break
            if row not in without:
                found.setdefault(row, cosine)
        if everything or len(found) == at_most:
            return [Proposal(row, cosine) for row, cosine in found.items()]
        looked_at *= 4


def _beside(sources: Sources, pair: str, rows: Sequence[int]) -> Weighed:
    return () if sources.covisits is None else sources.covisits.beside(pair, rows)


def _in_turn(
    tiers: Sequence[Weighed], anchor_rows: Collection[int], at_most: int
) -> list[Proposal]:
    """Tier after tier, each item where it comes first, none of the anchors.

    A weight w scores w / (1 + w), which lies in (0, 1), plus the number of tiers below its own.
    """
    named, found = set(anchor_rows), list[Proposal]()
    for number, tier in enumerate(tiers, start=1):
        for row, weight in tier:
            if len(found) == at_most:
                return found
            if row not in named:
                named.add(row)
                found.append(Proposal(row, len(tiers) - number + weight / (1.0 + weight)))
    return found
