"""Exploration with exact propensities. Pure: chance comes in as numbers.

At each exploring place, with probability `share`, an item of the pool stands instead of the
list's own, each with the same probability. The pool are the items ranked next after those of
the list that keep the shares at that place; it follows from the places before, and so does the
probability of what is shown there: share / pool, or 1 - share; 1 where there is no pool.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from serving.policy.model import Exploration
from serving.policy.shares import Tally

Draw = Callable[[int], float]
"""Independent numbers in [0, 1), by counter."""


def draws_of(seed: bytes) -> Draw:
    """Numbers that follow from a seed, 53 bits each: the same seed, the same list."""

    def draw(counter: int) -> float:
        digest = hashlib.blake2b(seed, digest_size=8, salt=counter.to_bytes(8, "big")).digest()
        return (int.from_bytes(digest, "big") >> 11) * 2.0**-53

    return draw


def explored(
    listed: Sequence[int],
    spare: Sequence[int],
    open_at: Sequence[int],
    explore: Exploration,
    tally: Tally,
    draw: Draw,
) -> tuple[list[int], list[float]]:
    """The list after exploration at the places `open_at`, and the propensity of each place.

    `listed` are counted in `tally`; `spare` are ranked next, best first.
    """
    shown, propensities = list(listed), [1.0] * len(listed)
    left = list(spare[: explore.pool])
    for at in open_at:
        pool = [place for place in left if tally.fits_instead(place, shown[at])]
        if not pool:
            continue
        if draw(2 * at) >= explore.share:
            propensities[at] = 1.0 - explore.share
            continue
        drawn = pool[int(draw(2 * at + 1) * len(pool))]
        propensities[at] = explore.share / len(pool)
        tally.swap(shown[at], drawn)
        left.remove(drawn)
        shown[at] = drawn
    return shown, propensities
