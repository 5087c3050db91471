"""What was stated of items, and when: a model of the past must not know today's category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# Axes: N statements, sorted by item and then by when they became known.
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Stated:
    """Each change of what stands of one attribute: item (row), known since when, its new value."""

    item_N: Ints
    known_at_us_N: Ints
    values: tuple[Any, ...]

    def by(self, instant_us: int, unknown: Any, came_us: Sequence[int]) -> tuple[Any, ...]:
        """The value of every item as it was known at an instant, in step with `came_us`.

        An item that came later gets its first statement: that is what it came with. One that had
        come, and of which nothing was stated yet, is `unknown`, whatever was stated of it since.
        """
        found = [unknown] * len(came_us)
        set_already: set[int] = set()
        for item, known_us, value in zip(
            self.item_N.tolist(), self.known_at_us_N.tolist(), self.values, strict=True
        ):
            if known_us <= instant_us or (came_us[item] > instant_us and item not in set_already):
                found[item] = value
                set_already.add(item)
        return tuple(found)


# Runs over the table `lines` of training.datasets; {column} is category or price_cents.
CHANGES = """
SELECT item_id, known_at_us, stands FROM (
    SELECT *, lag(stands) OVER (PARTITION BY item_id ORDER BY known_at_us) AS before FROM (
        SELECT item_id, known_at_us,
               arg_max({column}, (weight, {column})) OVER (
                   PARTITION BY item_id ORDER BY known_at_us) AS stands
        FROM lines WHERE {column} IS NOT NULL AND {wanted}
    )
) WHERE before IS DISTINCT FROM stands ORDER BY item_id, known_at_us
"""


def read(connection: Any, column: str, wanted: str, index_of: dict[str, int]) -> Stated:
    """The changes of a column among the rows that `wanted`, SQL of ours, lets through."""
    rows = connection.execute(CHANGES.format(column=column, wanted=wanted)).fetchall()
    return Stated(
        np.array([index_of[row[0]] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        tuple(row[2] for row in rows),
    )
