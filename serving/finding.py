"""From a customer's state to candidates: asked of a scene's sources, merged, priced. Pure.

What is decided lies in `nearline.transforms`, shared with training; here it is put together
with a bundle's models, and what failed is said by name.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from nearline.contracts.answer import Degradation
from nearline.transforms import anchors as anchoring
from nearline.transforms import candidates as merging
from nearline.transforms import sources as sourcing
from nearline.transforms.candidates import Candidate, Catalogue, Proposal
from nearline.transforms.customer import CustomerState, Recent
from nearline.transforms.item_facts import UNKNOWN_FACTS, ItemFacts
from serving.arrivals import FloatSD, Stock
from serving.finder import Finder
from serving.items import ItemTable
from serving.policy.model import Scene

# Axes: C candidates, S recent items, A anchors, K neighbours, D dimensions.
IntAK = npt.NDArray[np.int64]

# Vectors to compare with the anchors: fifty of them and a thousand exclusions asked for 172,000.
_MOST_BESIDE = 20_000
_OF_ENCODER = (Degradation.ENCODER_UNAVAILABLE, Degradation.INDEX_UNAVAILABLE)
_SPARE = 3  # A list needs more candidates than places: rules take some away.

logger = logging.getLogger(__name__)


class Option(msgspec.Struct, frozen=True):
    """A candidate with what the rules and the answer need beside it, ready to hand."""

    item_id: str
    category: str
    candidate: Candidate
    price_cents: int
    facts: ItemFacts = UNKNOWN_FACTS

    @classmethod
    def of(cls, candidate: Candidate, price_cents: int, facts: ItemFacts) -> Option:
        return cls(candidate.item_id, candidate.category, candidate, price_cents, facts)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question asks of the sources.

    `withheld` are purchased items that may not be shown again, `excluded` the caller's; `pinned`
    are candidates whoever proposes them. `without` names parts to do without, as if they failed.
    """

    scene: Scene
    k: int
    as_of_us: int
    category_share: float = 1.0
    withheld: frozenset[str] = frozenset()
    excluded: tuple[str, ...] = ()
    pinned: tuple[str, ...] = ()
    without: frozenset[Degradation] = frozenset()
    anchors: tuple[str, ...] = ()
    category: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Options in the order of retrieval; `dropped` counts proposals withheld, by rule."""

    options: tuple[Option, ...]
    dropped: Mapping[str, int]
    failed: tuple[Degradation, ...] = ()


def find(stock: Stock, table: ItemTable, state: CustomerState, asked: Asked) -> Found:
    """The candidates of a bundle's items and those that came after it."""
    limits = {str(source): most for source, most in asked.scene.sources.items()}
    excluded = asked.withheld.union(asked.excluded)
    catalogue = stock.sources.catalogue
    proposals, failed = _propose(stock, table, state, asked, limits)
    found = merging.merge(proposals, catalogue, excluded, limits)
    short = _short(asked, found)
    for source in asked.scene.fallback:
        if short <= 0:
            break
        # What is found already may be named again, so a fallback is asked for all of it.
        limits[source] = max(short, _SPARE * asked.k) + len(found)
        more, more_failed = _propose(stock, table, state, asked, {source: limits[source]})
        proposals |= more
        failed += more_failed
        found = merging.merge(proposals, catalogue, excluded, limits)
        short = _short(asked, found)
    found += _pinned(catalogue, asked.pinned, found)
    return Found(
        options=_options(stock, table, found),
        dropped=_dropped(proposals, stock, asked.withheld, asked.excluded),
        failed=tuple(dict.fromkeys(failed)),
    )


def _short(asked: Asked, found: Sequence[Candidate]) -> int:
    """How many candidates are missing: some to spare, and enough of other categories."""
    most = max(1, int(asked.category_share * asked.k + 1e-9))
    counts = Counter(candidate.category for candidate in found)
    room = sum(count if not name else min(count, most) for name, count in counts.items())
    return max(_SPARE * asked.k - len(found), asked.k - room)


def _propose(
    stock: Stock,
    table: ItemTable,
    state: CustomerState,
    asked: Asked,
    limits: Mapping[str, int],
) -> tuple[dict[str, list[Proposal]], list[Degradation]]:
    """Each source's list. The encoder is asked only where it knows one of the customer's items."""
    excluded = asked.withheld.union(asked.excluded)
    nearest: list[Proposal] = []
    failed: list[Degradation] = []
    if "encoder" in limits and (without := [one for one in _OF_ENCODER if one in asked.without]):
        failed = without
    elif "encoder" in limits:
        nearest, failed = _nearest(stock.finder, state, merging.depth("encoder", excluded, limits))
    proposals = sourcing.propose(stock.sources, state, nearest, excluded, asked.as_of_us, limits)
    anchored, also_failed = _anchored(stock, table, state, asked, limits, excluded)
    return proposals | anchored, [*failed, *also_failed]


def _anchored(
    stock: Stock,
    table: ItemTable,
    state: CustomerState,
    asked: Asked,
    limits: Mapping[str, int],
    excluded: AbstractSet[str],
) -> tuple[dict[str, list[Proposal]], list[Degradation]]:
    """The lists of the sources that ask about given items or a category (`transforms.anchors`)."""
    failed: list[Degradation] = []
    sources, index_of = stock.sources, stock.sources.catalogue.index_of
    rows = [index_of[item_id] for item_id in asked.anchors if item_id in index_of]

    def similar(at_most: int) -> list[Proposal]:
        if Degradation.INDEX_UNAVAILABLE in asked.without:
            failed.append(Degradation.INDEX_UNAVAILABLE)
            return []
        try:
            rows_AK, cosines_AK = _beside(stock.finder, rows, at_most)
        except Exception as error:  # noqa: BLE001 - whatever the index raises, others can answer
            logger.warning("the index failed: %s", type(error).__name__)
            failed.append(Degradation.INDEX_UNAVAILABLE)
            return []
        return anchoring.similar(sources, rows_AK, cosines_AK, rows, at_most)

    def repurchase(at_most: int) -> list[Proposal]:
        return anchoring.repurchase(index_of, state, table.facts, asked.as_of_us, rows, at_most)

    ask: dict[str, Callable[[int], list[Proposal]]] = {
        "similar": similar,
        "also_viewed": lambda most: anchoring.also_viewed(sources, rows, most),
        "bought_together": lambda most: anchoring.bought_together(sources, rows, most),
        "complements": lambda most: anchoring.complements(sources, state, rows, most),
        "repurchase": repurchase,
        "category": lambda most: anchoring.category(stock.shelves, asked.category, rows, most),
    }
    proposals = {
        source: of(merging.depth(source, excluded, limits))
        for source, of in ask.items()
        if source in limits
    }
    return proposals, failed


def _beside(finder: Finder, rows: Sequence[int], at_most: int) -> tuple[IntAK, FloatSD]:
    """The index's neighbours of items, and their cosines; (0, 0) where it knows none of them.

    The index goes by inner product, which favours the popular; so it is asked for more, and the
    cosine decides.
    """
    known = [row for row in rows if row < len(finder.unit_vectors)]
    if not known:
        return np.empty((0, 0), np.int64), np.empty((0, 0), np.float32)
    depth = min(_SPARE * (at_most + len(known)), _MOST_BESIDE // len(known), finder.index.ntotal)
    _, rows_AK = finder.index.search(finder.unit_vectors[known], depth)
    found_AKD = finder.unit_vectors[np.maximum(rows_AK, 0)]
    cosines_AK = np.einsum("akd,ad->ak", found_AKD, finder.unit_vectors[known])
    return rows_AK, cosines_AK


def _nearest(
    finder: Finder, state: CustomerState, depth: int
) -> tuple[list[Proposal], list[Degradation]]:
    items, kinds = merging.encoder_input(state, finder.catalogue.index_of, finder.history_length)
    if not items.any():
        return [], []
    part, failed = "encoder", Degradation.ENCODER_UNAVAILABLE
    try:
        query = finder.query_vector(items, kinds)
        part, failed = "index", Degradation.INDEX_UNAVAILABLE
        return _searched(finder, query, depth), []
    except Exception as error:  # noqa: BLE001 - whatever their runtimes raise, others can answer
        logger.warning("the %s failed: %s", part, type(error).__name__)
        return [], [failed]


def _searched(finder: Finder, query: FloatSD, depth: int) -> list[Proposal]:
    scores, found = finder.index.search(query, min(depth, finder.index.ntotal))
    return merging.encoder_proposals(found[0].tolist(), scores[0].tolist())


def _pinned(
    catalogue: Catalogue, pinned: Sequence[str], found: Sequence[Candidate]
) -> list[Candidate]:
    """What a campaign puts into a list and no source proposed."""
    there = {candidate.item_id for candidate in found}
    return [
        Candidate(item_id, row, catalogue.categories[row], {}, {})
        for item_id in pinned
        if item_id not in there and (row := catalogue.index_of.get(item_id)) is not None
    ]


def _options(stock: Stock, table: ItemTable, found: Sequence[Candidate]) -> tuple[Option, ...]:
    """Candidates with the newest known price, and what the shop states of them."""
    told = table.told([candidate.item_id for candidate in found])
    return tuple(
        Option.of(candidate, price_cents or stock.prices_cents[candidate.item_index], facts)
        for candidate, (price_cents, facts) in zip(found, told, strict=True)
    )


def _dropped(
    proposals: Mapping[str, Sequence[Proposal]],
    stock: Stock,
    withheld: AbstractSet[str],
    excluded: Sequence[str],
) -> dict[str, int]:
    """How many proposed items were withheld before ranks were given, by the rule that did it."""
    index_of = stock.sources.catalogue.index_of
    rows = {one.item_index for proposed in proposals.values() for one in proposed}
    bought = [one for one in withheld if index_of.get(one) in rows]
    named = [one for one in set(excluded) - withheld if index_of.get(one) in rows]
    return {"never_purchased": len(bought), "excluded": len(named)}


class Neighbour(msgspec.Struct, frozen=True):
    """A recent interaction that lies near an item; the cosine between the two."""

    recent: Recent
    cosine: float


def neighbours(
    stock: Stock, state: CustomerState, found: Sequence[Option], at_most: int
) -> list[list[Neighbour]]:
    """For each option the nearest items of the customer's recent interactions, nearest first.

    Each by its newest interaction. An item is its own neighbour, with cosine 1.
    """
    index_of = stock.sources.catalogue.index_of
    newest: dict[int, Recent] = {}
    for one in state.recent:
        row = index_of.get(one.item_id)
        if row is not None:
            newest.setdefault(row, one)
    if not newest or not found:
        return [[] for _ in found]
    recents, rows_S = list(newest.values()), list(newest)
    rows_C = [option.candidate.item_index for option in found]
    cosines_CS = stock.units(rows_C) @ stock.units(rows_S).T
    cosines_CS[np.asarray(rows_C)[:, None] == np.asarray(rows_S)[None, :]] = 1.0
    order_CS = np.argsort(-cosines_CS, axis=1, kind="stable")[:, :at_most]
    return [
        [Neighbour(recents[place], float(cosines[place])) for place in order]
        for order, cosines in zip(order_CS.tolist(), cosines_CS, strict=True)
    ]
