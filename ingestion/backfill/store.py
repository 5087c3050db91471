"""Folded states into the online store, many rows a round trip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import redis

from ingestion.backfill.core import Folded
from ingestion.worker.fold import View
from nearline.contracts.position import LogPosition
from nearline.errors import TransientError
from nearline.online import REPLACE_SCRIPT, replace_args

ROWS_AT_ONCE = 500


class OvertakenBackfill(TransientError):
    """A row online holds events that came after the fold: somebody else was writing."""

    def __init__(self, view: str) -> None:
        self.view = view
        super().__init__(
            f"a row of {view!r} was updated by a stream worker while the backfill ran, so the "
            "backfill stopped before taking it back. Nothing is lost; stop the worker and run "
            "`nearline backfill` again."
        )


def replace_rows(
    client: redis.Redis,
    view: View[Any],
    rows: Iterable[tuple[str, Folded[Any]]],
    upto: Sequence[LogPosition],
) -> Iterator[int]:
    """Write whole rows; yields after each round trip how many it wrote.

    `upto` holds, for each partition in order, where the fold ended. Raises OvertakenBackfill
    where a row online covers more than that.
    """
    sha: Any = client.script_load(REPLACE_SCRIPT)
    waiting = iter(rows)
    while chunk := list(islice(waiting, ROWS_AT_ONCE)):
        pipeline = client.pipeline(transaction=False)
        for entity_id, folded in chunk:
            columns = view.columns_of(folded.state)
            args = replace_args(view.layout, columns, folded.known_at_us, folded.sequences, upto)
            pipeline.evalsha(sha, 1, view.layout.key(entity_id), *args)
        if any(reply != b"replaced" for reply in pipeline.execute()):
            raise OvertakenBackfill(view.layout.view)
        yield len(chunk)
