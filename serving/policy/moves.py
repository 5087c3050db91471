"""Which rule moved an item of the list from which rank to which. Pure.

The moves of an item are a chain without gaps: it begins at the rank that the item had in the
ranked sequence and ends at its place in the list. An item also moves when others leave.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from nearline.contracts.answer import Move
from serving.policy import names
from serving.policy.pins import Pinned

Stage = tuple[str, Callable[[int, int], int]]
"""A rule, and the rank (from 1) that it gives to a place of the sequence, from the rank before."""


def moves_of(listed: Sequence[int], stages: Sequence[Stage]) -> tuple[tuple[Move, ...], ...]:
    """The moves of each item of the list; stages in the order in which they were applied."""
    told: list[tuple[Move, ...]] = []
    for place in listed:
        moves: list[Move] = []
        rank = place + 1
        for rule, rank_after in stages:
            after = rank_after(place, rank)
            if after != rank:
                moves.append(Move(rule, rank, after))
                rank = after
        told.append(tuple(moves))
    return tuple(told)


def withholding(rule: str, places: Sequence[int]) -> Stage:
    """Items move up by as many as are withheld before them; `places` ascend."""
    return rule, lambda place, rank: rank - bisect_left(places, place)


def ordering(rule: str, order: Sequence[int]) -> Stage:
    """A new order of all."""
    ranks = {place: rank for rank, place in enumerate(order, start=1)}
    return rule, lambda place, rank: ranks.get(place, rank)


def placing(order: Sequence[int], pinned: Pinned) -> list[int]:
    """The order with the pins at their places; what was there moves down."""
    fixed = set(pinned.held.values())
    rest = (place for place in order if place not in fixed)
    return [pinned.held[at] if at in pinned.held else next(rest) for at in range(len(order))]


def passing_over(
    order: Sequence[int],
    listed: AbstractSet[int],
    stopped: Mapping[int, tuple[str, ...]],
    pinned: Pinned,
) -> list[Stage]:
    """Items of the list move up to where others were passed over; pins stay where they are.

    `order` has the pins at their places. An item that two shares stopped counts for the first.
    """
    free = [at for at in range(len(order)) if at not in pinned.held]
    step_of = {order[at]: step for step, at in enumerate(free)}  # on the ladder without pins
    stages: list[Stage] = []
    gone_before: list[int] = []
    for rule in (names.CATEGORY_SHARE, names.SEEN_SHARE):
        gone = [
            step_of[place]
            for place, rules in stopped.items()
            if rules[0] == rule and place not in listed
        ]
        if gone:
            gone_before = sorted(gone_before + gone)
            stages.append((rule, _upwards(step_of, free, gone_before, listed)))
    return stages


def _upwards(
    step_of: Mapping[int, int], free: Sequence[int], gone: Sequence[int], listed: AbstractSet[int]
) -> Callable[[int, int], int]:
    def rank_after(place: int, rank: int) -> int:
        if place not in step_of or place not in listed:
            return rank
        step = step_of[place]
        return free[step - bisect_left(gone, step)] + 1

    return rank_after
