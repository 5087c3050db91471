"""Frequency caps: whether a customer has had enough lists by a channel. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nearline.transforms.buckets import HOUR_US
from serving.policy.model import FrequencyCap


def reached(caps: Iterable[FrequencyCap], sent_at_us: Sequence[int], as_of_us: int) -> bool:
    """Whether one more list would exceed a cap; `sent_at_us` are those by its channel.

    A window of n hours does not hold what was sent n hours before `as_of_us`. What another
    process' clock, a little ahead, has sent after it counts: a message cannot be taken back.
    """
    return any(
        sum(as_of_us - at_us < cap.window_hours * HOUR_US for at_us in sent_at_us) >= cap.at_most
        for cap in caps
    )


def longest_window_us(caps: Iterable[FrequencyCap]) -> int:
    """How far back lists must be remembered to judge these caps; 0 without any."""
    return max((int(cap.window_hours * HOUR_US) for cap in caps), default=0)
