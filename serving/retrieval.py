"""From a customer's state to 100 to 150 candidates of six sources (`transforms.sources`).

What is decided here lies in `nearline.transforms.candidates`, shared with training; this
module reads the stores and the models, and says by name what was missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nearline.contracts.answer import Chosen, Degradation
from nearline.errors import StoreUnavailable
from nearline.online import CustomerReading, ItemReading
from nearline.transforms import candidates as merging
from nearline.transforms import customer, item
from nearline.transforms import sources as sourcing
from nearline.transforms.candidates import Candidate, Proposal
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState
from serving.arrivals import Newcomers, Stock, Stocks
from serving.bundles import Shelf
from serving.features import Features, PopularItem
from serving.finder import Finder

# Axes: C candidates, S recent items, D dimensions.

# Requests that read and compute in turns; others wait, with no clock running yet. Else, under
# load, a read would time out on other requests' computing, and purchases would be unknown
# (measured with 8 clients: 30 % of the answers).
AT_ONCE = 2

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetrievalRequest:
    """What retrieval needs of a query; the instant is fixed by whoever answers."""

    customer_id: str
    excluded: tuple[str, ...]
    as_of_us: int
    challenger: bool = False  # let the challenger answer, where one is loaded


@dataclass(frozen=True, slots=True)
class Option:
    """A candidate with what the last stages need: its price, and its nearest recent item."""

    candidate: Candidate
    price_cents: int
    nearest_item_id: str | None = None
    nearest_cosine: float = 0.0

    @property
    def item_id(self) -> str:
        return self.candidate.item_id

    @property
    def category(self) -> str:
        return self.candidate.category


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Candidates in the order of retrieval, and everything read to find them.

    `bundle` is empty when none is loaded, and `role`, as what it answers, None. `item_values` is
    `item.finish` of each option, in step. `dropped` counts proposals withheld, by the rule's name.
    """

    bundle: str
    reading: CustomerReading
    options: tuple[Option, ...]
    item_values: tuple[Mapping[str, float], ...]
    dropped: Mapping[str, int]
    degraded: tuple[Degradation, ...]
    item_sequences: tuple[tuple[bytes | None, ...], ...] = ()
    """What each option's item state is made of, in step (`nearline.online.ItemReading`)."""
    role: Chosen | None = None


class RetrievalPort(Protocol):
    """Whoever can retrieve: the class below, or a handle to its replicas."""

    async def retrieve(self, request: RetrievalRequest) -> Retrieved: ...


class Retrieval:
    """Reads features and finds candidates with the bundle that a request is due, or without any."""

    def __init__(self, features: Features, shelf: Shelf) -> None:
        self._features = features
        self._shelf = shelf
        self._popular: tuple[PopularItem, ...] = ()  # Last seen: it outlives a Redis outage.
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._newcomers = Newcomers(features, self._known)
        self._stocks = Stocks()

    async def retrieve(self, request: RetrievalRequest) -> Retrieved:
        """Never raises for a missing part: the answer names what was missing."""
        async with self._turns:
            return await self._retrieve(request)

    async def look_for_arrivals(self) -> None:
        """Look once for items that came after the bundle; what was seen stays in an outage."""
        try:
            await self._newcomers.look()
        except StoreUnavailable as error:
            logger.warning("new arrivals could not be read: %s", error.cause)

    def _known(self) -> Collection[str] | None:
        bundle = self._shelf.current
        return bundle.finder.catalogue.index_of if bundle and bundle.finder else None

    async def _retrieve(self, request: RetrievalRequest) -> Retrieved:
        bundle = self._shelf.answering(request.challenger)  # One request, one bundle.
        challenger = bundle is not None and bundle is self._shelf.challenger
        degraded: list[Degradation] = []
        try:
            reading = await self._features.customer(request.customer_id)
        except StoreUnavailable:
            reading = CustomerReading(customer.EMPTY, 0, None)
            degraded.append(Degradation.FEATURES_UNAVAILABLE)
        if bundle is None or bundle.finder is None:
            degraded.append(Degradation.BUNDLE_UNAVAILABLE)
            return await self._without_bundle(request, reading, degraded)
        # One request, one stock as well: a row means the same item from start to end.
        stock = self._stocks.of(bundle.version, bundle.finder, self._newcomers.items)
        state = reading.state
        proposals, failed = propose(stock, state, request)
        degraded += failed
        found = merging.merge(
            proposals, stock.sources.catalogue, merging.excluded_ids(state, request.excluded)
        )
        try:
            read = await self._features.items([candidate.item_id for candidate in found])
        except StoreUnavailable:
            read = [ItemReading(item.EMPTY, ())] * len(found)
            if Degradation.FEATURES_UNAVAILABLE not in degraded:
                degraded.append(Degradation.ITEM_FEATURES_UNAVAILABLE)
        states = [one.state for one in read]
        return Retrieved(
            bundle=bundle.version,
            reading=reading,
            options=options_of(stock, state, found, states),
            item_values=tuple(item.finish(one, request.as_of_us) for one in states),
            dropped=dropped_of(proposals, stock, state, request.excluded),
            degraded=tuple(degraded),
            item_sequences=tuple(one.sequences for one in read),
            role=Chosen.CHALLENGER if challenger else Chosen.CHAMPION,
        )

    async def _without_bundle(
        self, request: RetrievalRequest, reading: CustomerReading, degraded: list[Degradation]
    ) -> Retrieved:
        try:
            self._popular = await self._features.popular()
        except StoreUnavailable:
            if Degradation.FEATURES_UNAVAILABLE not in degraded:
                degraded.append(Degradation.FEATURES_UNAVAILABLE)
        purchased = {item_id for item_id, _ in reading.state.purchased}
        excluded = set(request.excluded)
        allowed = [
            popular
            for popular in self._popular
            if popular.item_id not in purchased and popular.item_id not in excluded
        ]
        return Retrieved(
            bundle="",
            reading=reading,
            options=tuple(
                Option(_popular_candidate(popular, rank), popular.price_cents)
                for rank, popular in enumerate(allowed, start=1)
            ),
            item_values=(),
            dropped=_counts([popular.item_id for popular in self._popular], purchased, excluded),
            degraded=tuple(degraded),
        )


def propose(
    stock: Stock, state: CustomerState, request: RetrievalRequest
) -> tuple[dict[str, list[Proposal]], list[Degradation]]:
    """Each source's list, best first, and what failed.

    The encoder is asked only when it knows at least one of the customer's items: for a
    stranger it has nothing to go by.
    """
    excluded = merging.excluded_ids(state, request.excluded)
    nearest, failed = _nearest(stock.finder, state, merging.depth("encoder", excluded))
    return sourcing.propose(stock.sources, state, nearest, excluded, request.as_of_us), failed


def _nearest(
    finder: Finder, state: CustomerState, depth: int
) -> tuple[list[Proposal], list[Degradation]]:
    items, kinds = merging.encoder_input(state, finder.catalogue.index_of, finder.history_length)
    if not items.any():
        return [], []
    try:
        scores, found = finder.index.search(
            finder.query_vector(items, kinds), min(depth, finder.index.ntotal)
        )
    except Exception as error:  # noqa: BLE001 - whatever the runtime raises, others can answer
        logger.warning("the encoder failed: %s", type(error).__name__)
        return [], [Degradation.ENCODER_UNAVAILABLE]
    return merging.encoder_proposals(found[0].tolist(), scores[0].tolist()), []


def options_of(
    stock: Stock, state: CustomerState, found: Sequence[Candidate], states: Sequence[ItemState]
) -> tuple[Option, ...]:
    """Candidates with their newest known price and their nearest recent item.

    Nearness is the cosine between vectors; an item is not its own neighbour.
    """
    catalogue = stock.sources.catalogue
    index_of = catalogue.index_of
    recent = list(
        dict.fromkeys(index_of[one.item_id] for one in state.recent if one.item_id in index_of)
    )
    prices = [
        one.price_cents or stock.prices_cents[candidate.item_index]
        for candidate, one in zip(found, states, strict=True)
    ]
    if not recent or not found:
        return tuple(Option(one, price) for one, price in zip(found, prices, strict=True))
    rows = [candidate.item_index for candidate in found]
    cosines_CS = stock.units(rows) @ stock.units(recent).T
    cosines_CS[np.asarray(rows)[:, None] == np.asarray(recent)[None, :]] = -2.0
    best_C = cosines_CS.argmax(axis=1)
    return tuple(
        Option(candidate, price, catalogue.item_ids[recent[best]], float(cosine))
        if cosine >= -1.0
        else Option(candidate, price)
        for candidate, price, best, cosine in zip(
            found, prices, best_C.tolist(), cosines_CS.max(axis=1).tolist(), strict=True
        )
    )


def dropped_of(
    proposals: Mapping[str, Sequence[Proposal]],
    stock: Stock,
    state: CustomerState,
    excluded: Sequence[str],
) -> dict[str, int]:
    """How many proposed items were withheld, by the rule that did it."""
    index_of = stock.sources.catalogue.index_of
    rows = {one.item_index for source in proposals.values() for one in source}
    purchased = {item_id for item_id, _ in state.purchased}
    proposed = [one for one in purchased.union(excluded) if index_of.get(one) in rows]
    return _counts(proposed, purchased, set(excluded))


def _counts(proposed: Sequence[str], purchased: set[str], excluded: set[str]) -> dict[str, int]:
    bought = purchased.intersection(proposed)
    return {
        "never_purchased": len(bought),
        "excluded": len(excluded.intersection(proposed) - bought),
    }


def _popular_candidate(popular: PopularItem, rank: int) -> Candidate:
    return Candidate(
        popular.item_id, -1, popular.category, {"popular": 1.0 / rank}, {"popular": rank}
    )
