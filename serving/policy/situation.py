"""What the rules know of a question and of the candidates for its answer."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Protocol

from nearline.transforms.item_facts import ItemFacts


class Placeable(Protocol):
    """What a rule sees of an item. An empty category is unknown and never limited."""

    @property
    def item_id(self) -> str: ...

    @property
    def category(self) -> str: ...

    @property
    def facts(self) -> ItemFacts: ...


@dataclass(frozen=True, slots=True)
class Situation:
    """One question, and what is known of who asks.

    `k` is how many items are asked for. `purchased` says when each item was bought last.
    `seen` was looked at lately. `anchors` are the items that the question names: they are never
    recommended back. `age_years` None counts as a child. `capped` means that a frequency cap of
    the channel is reached. `seed` decides what exploration shows; empty explores nothing.
    """

    k: int
    as_of_us: int = 0
    purchased: Mapping[str, int] = field(default_factory=dict)
    excluded: AbstractSet[str] = frozenset()
    seen: AbstractSet[str] = frozenset()
    anchors: AbstractSet[str] = frozenset()
    age_years: int | None = None
    tags: AbstractSet[str] = frozenset()
    capped: bool = False
    personalized: bool = True
    seed: bytes = b""

    def admitted(self) -> Situation:
        """What the rules may go by: without personalization nothing of the customer.

        Nor any chance, so that everybody gets the same list. What the question itself says
        (exclusions, anchors, a stated age) stays.
        """
        if self.personalized:
            return self
        none: frozenset[str] = frozenset()
        return replace(self, purchased={}, seen=none, tags=none, capped=False, seed=b"")
