"""Who proposes items: six sources, asked alike in training and in serving. Pure.

| source | proposes |
|---|---|
| `encoder` | what lies nearest to the encoder's query vector |
| `revisit` | what the customer met lately and did not buy |
| `covisit` | what others met beside the customer's recent items, by pair of events |
| `content` | what is like the customer's taste by category and price; needs a content table |
| `popular` | what many met in the days before the bundle was made |
| `arrivals` | what came after the bundle was made, nearest to the taste first |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from nearline.transforms.candidates import (
    LIMITS,
    Catalogue,
    Proposal,
    depth,
    popular_proposals,
    revisit_proposals,
)
from nearline.transforms.covisits import CovisitTable
from nearline.transforms.customer import CustomerState
from nearline.transforms.taste import NO_ARRIVALS, Arrivals, Contents, taste_of


@dataclass(frozen=True, slots=True)
class Sources:
    """What proposes beside the encoder, as of an instant; never changed.

    `known` holds the items of the bundle, `catalogue` those and the arrivals: a row means the
    same item in both.
    """

    known: Catalogue
    catalogue: Catalogue
    popular: Sequence[int]
    covisits: CovisitTable | None = None
    contents: Contents | None = None
    arrivals: Arrivals = NO_ARRIVALS


def propose(
    sources: Sources,
    state: CustomerState,
    nearest: list[Proposal],
    excluded: AbstractSet[str],
    as_of_us: int,
    limits: Mapping[str, int] = LIMITS,
) -> dict[str, list[Proposal]]:
    """The list of each source in `limits`, best first, long enough for its limit after exclusion.

    `nearest` is the encoder's own list, empty where it had nothing to go by or failed.
    """
    index_of = sources.known.index_of
    proposals: dict[str, list[Proposal]] = {}
    if "encoder" in limits:
        proposals["encoder"] = nearest
    if "revisit" in limits:
        proposals["revisit"] = revisit_proposals(state, sources.catalogue.index_of, as_of_us)
    if "popular" in limits:
        at_most = depth("popular", excluded, limits)
        proposals["popular"] = popular_proposals(sources.popular, at_most)
    if "covisit" in limits and sources.covisits is not None:
        at_most = depth("covisit", excluded, limits)
        beside = sources.covisits.companions(state, index_of, as_of_us, at_most)
        proposals["covisit"] = [Proposal(row, score) for row, score in beside]
    taste_D = None
    if sources.contents is not None and ("content" in limits or "arrivals" in limits):
        taste_D = taste_of(
            state, sources.catalogue.index_of, sources.contents, sources.arrivals, as_of_us
        )
        if taste_D is not None and "content" in limits:
            alike = sources.contents.nearest(taste_D, depth("content", excluded, limits))
            proposals["content"] = [Proposal(row, cosine) for row, cosine in alike]
    if "arrivals" in limits:
        came = sources.arrivals.nearest(taste_D, depth("arrivals", excluded, limits))
        proposals["arrivals"] = [Proposal(row, cosine) for row, cosine in came]
    return proposals
