"""Every Redis key that Nearline owns, with its lifetime. Feast's entity keys: `feast_layout`.

Keys of one log partition share the hash tag `{partition}`, so that they lie on one node of a
Redis Cluster and one script may touch them together.
"""

from __future__ import annotations

# Facts about the whole installation (number of partitions, schema). Kept for ever.
META = "nl:meta"
# The popular items that answer when no bundle is loaded: JSON list. Rewritten by each backfill.
FALLBACK_POPULAR = "nl:fallback:popular"
# Sorted set of item ids by when each was first known (us): the newest 50,000 of 30 days. Written
# by the stream worker and by each backfill; see `nearline.arrivals`.
ARRIVALS = "nl:arrivals"
# Counts the backfills that rewrote items' rows: who holds rows in memory reads them again.
ITEMS_REWRITTEN = "nl:items:rewritten"
# Stream of sampled feature vectors as rankers saw them (`nearline.served`). At most about 10,000
# wait there; whoever archives them removes them.
SERVED = "nl:served"


def log(partition: int) -> str:
    """Stream of accepted events. Trimmed by time once written to history and applied."""
    return f"nl:{{{partition}}}:log"


def dead_letters(partition: int) -> str:
    """Stream of rejected events with reasons. Kept until replayed or discarded by a person."""
    return f"nl:{{{partition}}}:dead"


def counts(partition: int) -> str:
    """Hash of received, stored, duplicate, rejected, consent_refused. Kept for ever."""
    return f"nl:{{{partition}}}:counts"


def seen(partition: int, day: int) -> str:
    """Set of message-id digests stored on one day (days since the epoch). Lives 9 days."""
    return f"nl:{{{partition}}}:seen:{day}"


def applied(partition: int) -> str:
    """Sequence up to which the stream worker has applied everything. Kept for ever."""
    return f"nl:{{{partition}}}:applied"


def archived(partition: int) -> str:
    """Sequence up to which history holds everything; a hint, the files are the truth."""
    return f"nl:{{{partition}}}:archived"


def lease(partition: int, job: str) -> str:
    """Who works on a partition for a job (`worker`, `history`). Expires after seconds."""
    return f"nl:{{{partition}}}:lease:{job}"


def cap(channel: str, customer_id: str) -> str:
    """Sorted set of the lists that a customer got by a channel, by instant (us).

    Lives as long as the longest window that counts them. Personal: it names a customer.
    """
    return f"nl:cap:{channel}:{customer_id}"


def kept(what: str, digest: str) -> str:
    """What answers were made of, by digest: a policy, a list of popular items; JSON.

    Kept while answers may be made again: 30 days after its last use.
    """
    return f"nl:kept:{what}:{digest}"


def bench(run: str, what: str) -> str:
    """What `nearline bench` compares with (a stream, a row). Lives an hour at most."""
    return f"nl:bench:{run}:{what}"
