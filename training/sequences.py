"""Interactions as the encoder meets them: windows to learn from, questions to be judged by.

A target is always the customer's first meeting with an item. Coming back to an item is the
revisit source's business; learning it too would teach the encoder to repeat its input.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from training.datasets import Interactions

# Axes: W windows or questions, L places in the history (oldest first, padded left with 0).
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """Input items (row + 1) and kinds, and at each place the next item (row + 1) or 0."""

    items_WL: Ints
    kinds_WL: Ints
    targets_WL: Ints

    def __len__(self) -> int:
        return len(self.items_WL)


@dataclass(frozen=True)
class Questions:
    """Which new item will this customer meet next? One target each, as an item row."""

    items_WL: Ints
    kinds_WL: Ints
    targets_W: Ints
    asked_at_us: Ints
    seen: tuple[Ints, ...]  # item rows met before the instant: they do not compete
    customer_W: Ints = field(default_factory=lambda: np.zeros(0, np.int64))  # rows; may be untold

    def __len__(self) -> int:
        return len(self.targets_W)

    def knowing(self, known_I: npt.NDArray[np.bool_]) -> Questions:
        """The same questions as a bundle that lacks some items reads them: it passes over those."""
        kept_WL = (self.items_WL > 0) & known_I[self.items_WL - 1]
        order_WL = np.argsort(kept_WL, axis=1, kind="stable")  # Padding first, then as before.
        items, kinds = (
            np.take_along_axis(np.where(kept_WL, rows, 0), order_WL, axis=1)
            for rows in (self.items_WL, self.kinds_WL)
        )
        return replace(self, items_WL=items, kinds_WL=kinds)

    def chunks(self, size: int) -> Iterator[Questions]:
        """The same questions, a few at a time."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield Questions(
                self.items_WL[part],
                self.kinds_WL[part],
                self.targets_W[part],
                self.asked_at_us[part],
                self.seen[part],
                self.customer_W[part],
            )


def first_meetings(interactions: Interactions) -> npt.NDArray[np.bool_]:
    """Marks each interaction that is its customer's first with its item."""
    pairs = np.stack([interactions.customer, interactions.item], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    marks = np.zeros(len(interactions), bool)
    marks[first] = True
    return marks


def pairs_apart(
    interactions: Interactions, gap: int, *, repeats: bool = False
) -> tuple[Ints, Ints]:
    """Item rows (earlier, later) that stand `gap` places apart in a customer's sequence.

    Pairs of an item with itself are left out, unless `repeats`.
    """
    earlier, later = interactions.item[:-gap], interactions.item[gap:]
    keep = interactions.customer[gap:] == interactions.customer[:-gap]
    if not repeats:
        keep &= later != earlier
    return earlier[keep], later[keep]


def windows(
    interactions: Interactions, length: int, after_us: int = -1, *, repeats: bool = False
) -> Windows:
    """Cut each customer's sequence from its end into pieces of `length` inputs.

    Only first meetings that occurred after `after_us` are targets, or with `repeats` every
    interaction after it; windows without any are dropped.
    """
    new = interactions.occurred_at_us > after_us
    if not repeats:
        new = new & first_meetings(interactions)
    items, kinds, targets = [], [], []
    for _, start, end in interactions.ranges():
        last = end - 1  # The last interaction is only ever a target.
        while last > start:
            first = max(start, last - length)
            wanted = new[first + 1 : last + 1]
            if wanted.any():
                following = interactions.item[first + 1 : last + 1] + 1
                items.append(padded(interactions.item[first:last] + 1, length))
                kinds.append(padded(interactions.kind[first:last], length))
                targets.append(padded(np.where(wanted, following, 0), length))
            last = first
    if not items:
        empty = np.zeros((0, length), np.int64)
        return Windows(empty, empty, empty)
    return Windows(np.stack(items), np.stack(kinds), np.stack(targets))


def questions(
    interactions: Interactions, length: int, after_us: int, until_us: int, limit: int, seed: int
) -> Questions:
    """At most `limit` first meetings in (after_us, until_us], drawn evenly, with what led there.

    The history of a question holds only what occurred strictly before its target and was known
    by then; customers without any are not asked about.
    """
    at_us, known_us = interactions.occurred_at_us, interactions.known_at_us
    wanted = first_meetings(interactions) & (at_us > after_us) & (at_us <= until_us)
    found: list[tuple[int, Ints]] = []  # The target's place, and those of its history.
    for _, start, end in interactions.ranges():
        for place in start + np.flatnonzero(wanted[start:end]):
            before = start + int(np.searchsorted(at_us[start:end], at_us[place], side="left"))
            held = start + np.flatnonzero(known_us[start:before] <= at_us[place])
            if len(held):
                found.append((int(place), held))
    if len(found) > limit:
        picks = np.random.default_rng(seed).choice(len(found), limit, replace=False)
        found = [found[pick] for pick in sorted(picks)]
    items = np.zeros((len(found), length), np.int64)
    kinds = np.zeros((len(found), length), np.int64)
    for row, (_, held) in enumerate(found):
        items[row] = padded(interactions.item[held[-length:]] + 1, length)
        kinds[row] = padded(interactions.kind[held[-length:]], length)
    places = np.array([place for place, _ in found], np.int64)
    return Questions(
        items,
        kinds,
        interactions.item[places],
        at_us[places],
        tuple(np.unique(interactions.item[held]) for _, held in found),
        interactions.customer[places],
    )


def padded(values: Ints, length: int) -> Ints:
    """(length,): the values at the end, zeros before them."""
    row = np.zeros(length, np.int64)
    if len(values):
        row[length - len(values) :] = values
    return row
