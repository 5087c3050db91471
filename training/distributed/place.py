"""Where the heavy parts of a run happen: on a cluster where one is named, else here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from nearline.history import Snapshot
from nearline.settings import Settings
from training import encoder
from training.encoder_stage import Fit

_MOST_WORKERS = 4  # The batch is parted among them, and parts of a few windows teach no faster.


@contextmanager
def opened(settings: Settings, at: Snapshot) -> Iterator[Fit]:
    """Bring the offline rows to a snapshot of history on the cluster; give what teaches there.

    Without `ray_address`, gives what teaches here, and leaves the rows to whoever reads them.
    """
    if not settings.ray_address:
        yield encoder.fit
        return
    from training.distributed import data
    from training.distributed import encoder as distributed
    from training.distributed.cluster import connected

    with connected(settings.ray_address) as cpus:
        data.snapshot(settings.history, settings.offline, 4 * cpus, at)
        workers = max(1, min(cpus - 1, _MOST_WORKERS))  # One is left for what feeds them.
        yield partial(distributed.fit, workers=workers)
