"""Customers and items as they were known at an instant, read through Feast.

Feast's point-in-time join is the only door: what training learns from is what the online
store held at that instant, and nothing that became known later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState

if TYPE_CHECKING:
    from feast import FeatureStore

    from nearline.history import Snapshot
    from nearline.settings import Settings


class States(Protocol):
    """States in step with the ids and the instants (UTC microseconds) asked for."""

    def customers(self, ids: Sequence[str], as_of_us: Sequence[int]) -> list[CustomerState]: ...

    def items(self, ids: Sequence[str], as_of_us: Sequence[int]) -> list[ItemState]: ...


class FeastStates:
    """States from Feast's offline store."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store

    @classmethod
    def open(
        cls, settings: Settings, progress: Callable[[int], object], at: Snapshot | None = None
    ) -> FeastStates:
        """Bring offline rows and registry up to date with history, and open the store.

        History is read as it stood `at` a snapshot, by default as it stands now. `progress` gets
        the number of events folded since its last call; none are when history has not changed.
        """
        from feature_repo.retrieval import apply
        from nearline import offline

        offline.snapshot(settings.history, settings.offline, progress, at)
        return cls(apply(settings))

    def customers(self, ids: Sequence[str], as_of_us: Sequence[int]) -> list[CustomerState]:
        """A customer without events by then has the empty state."""
        import pandas as pd

        from feature_repo.retrieval import customer_states

        if not ids:
            return []
        asked = pd.DataFrame({"customer_id": list(ids), "as_of_us": list(as_of_us)})
        return list(customer_states(self._store, asked))

    def items(self, ids: Sequence[str], as_of_us: Sequence[int]) -> list[ItemState]:
        """An item without events by then has the empty state."""
        import pandas as pd

        from feature_repo.retrieval import item_states

        if not ids:
            return []
        asked = pd.DataFrame({"item_id": list(ids), "as_of_us": list(as_of_us)})
        return list(item_states(self._store, asked))
