"""When to try again: pure, so that a test can name every instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Trying again can help: the server is overloaded, restarting or behind a proxy that is.
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
# The body is at fault, perhaps one event in it: smaller batches find which.
BODY_STATUSES = frozenset({400, 413, 422})
_LONGEST_RETRY_AFTER_S = 60.0  # A server that asks for more is asked again after this.


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential with full jitter (AWS Architecture Blog, 2015): spreads a crowd's retries."""

    first_s: float = 0.1
    longest_s: float = 10.0

    def delay_s(self, attempt: int, draw: float, retry_after_s: float | None = None) -> float:
        """Seconds to wait after failure number `attempt` (from 0); `draw` is in [0, 1).

        What the server asked for is always waited for, and the jitter comes on top.
        """
        ceiling = min(self.longest_s, self.first_s * 2.0 ** min(attempt, 30))
        if retry_after_s is None:
            return ceiling * draw
        return retry_after_s + min(self.first_s, ceiling) * draw


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds asked for by a Retry-After header (number or HTTP date), 0 to 60.

    None where there is no header, or one that cannot be read.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_RETRY_AFTER_S)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return min(max(0.0, (then - now).total_seconds()), _LONGEST_RETRY_AFTER_S)
