"""One collection behind another without a copy: items that came later, behind a bundle's. Pure.

Making a chain costs nothing, whatever its parts hold; a look into it costs 0.1 µs more than into
a tuple or a dict (measured). Its parts must not change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar

K = TypeVar("K")
D = TypeVar("D")
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)


class Column(Protocol[V_co]):
    """What is known of each item, by its row (0 and more): a tuple, a list or a chain of two."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> V_co: ...


class ChainedColumn(Column[V_co]):
    """The rows of `more` follow those of `first`."""

    __slots__ = ("_first", "_length", "_more")

    def __init__(self, first: Column[V_co], more: Column[V_co]) -> None:
        self._first, self._more, self._length = first, more, len(first)

    def __len__(self) -> int:
        return self._length + len(self._more)

    def __getitem__(self, row: int, /) -> V_co:
        length = self._length
        return self._first[row] if row < length else self._more[row - length]


class ChainedMapping(Mapping[K, V]):
    """The keys of `first`, and those of `more`; no key may be in both."""

    __slots__ = ("_first", "_more")

    def __init__(self, first: Mapping[K, V], more: Mapping[K, V]) -> None:
        self._first, self._more = first, more

    def __len__(self) -> int:
        return len(self._first) + len(self._more)

    def __iter__(self) -> Iterator[K]:
        yield from self._first
        yield from self._more

    def __contains__(self, key: object) -> bool:
        return key in self._first or key in self._more

    def __getitem__(self, key: K) -> V:
        first = self._first
        return first[key] if key in first else self._more[key]

    def get(self, key: K, default: D | None = None) -> V | D | None:  # type: ignore[override]
        """As of every mapping; the inherited one raises and catches for a key that is not here."""
        first = self._first
        return first[key] if key in first else self._more.get(key, default)
