"""What is asked of Feast's own SDK, and what it took: `python -m feature_repo.reading` measures."""

from __future__ import annotations

import msgspec

MODULE = "feature_repo.reading"


class Ask(msgspec.Struct, frozen=True):
    """Read these items `calls` times, after `warm_up` times that do not count."""

    item_ids: list[str]
    calls: int
    warm_up: int = 5


class Read(msgspec.Struct, frozen=True):
    """Times in ms until Feast has answered, and until its `to_dict` gave values, call by call.

    `found` says how many items had a row.
    """

    samples_ms: list[float]
    values_ms: list[float]
    found: int
