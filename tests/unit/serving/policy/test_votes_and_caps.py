"""Who orders a scene's candidates, and when a channel is full."""

from __future__ import annotations

import pytest

from nearline.transforms.buckets import HOUR_US
from serving.policy.caps import longest_window_us, reached
from serving.policy.model import FrequencyCap
from serving.policy.votes import voted

RANKS = [{"encoder": 1}, {"popular": 1, "encoder": 2}, {"popular": 2}]


def test_the_ranker_alone_orders_by_its_own_scores_negative_ones_too() -> None:
    assert voted(RANKS, [-3.0, -1.0, -2.0], {"ranker": 1.0}) == ([1, 2, 0], [-3.0, -1.0, -2.0])


def test_without_a_ranker_all_sources_count_alike() -> None:
    order, scores = voted(RANKS, None, {"ranker": 1.0})

    assert order == [1, 0, 2]
    assert scores == pytest.approx([1 / 61, 1 / 61 + 1 / 62, 1 / 62])


def test_weights_say_how_much_each_voter_counts() -> None:
    order, scores = voted(RANKS, [0.1, 0.2, 0.9], {"popular": 2.0, "ranker": 1.0})

    # The ranker: third 1, second 2, first 3. The encoder has no voice here.
    assert scores == pytest.approx([1 / 63, 2 / 61 + 1 / 62, 2 / 62 + 1 / 61])
    assert order == [1, 2, 0]


def test_a_silent_ranker_leaves_the_other_voters() -> None:
    assert voted(RANKS, None, {"encoder": 1.0, "ranker": 5.0})[1] == pytest.approx(
        [1 / 61, 1 / 62, 0.0]
    )


def test_equal_scores_keep_the_order_of_retrieval() -> None:
    assert voted(RANKS, [1.0, 1.0, 1.0], {"ranker": 1.0})[0] == [0, 1, 2]


@pytest.mark.parametrize(
    ("sent_hours_ago", "full"),
    [([], False), ([1], False), ([1, 23], True), ([1, 24], False), ([1, 24.5, 30], False)],
)
def test_two_lists_a_day_are_enough(sent_hours_ago: list[float], full: bool) -> None:
    now_us = 1_000 * HOUR_US
    sent = [now_us - int(hours * HOUR_US) for hours in sent_hours_ago]

    assert reached([FrequencyCap("push", 2, 24)], sent, now_us) is full


def test_any_of_several_caps_closes_a_channel() -> None:
    caps = [FrequencyCap("push", 2, 24), FrequencyCap("push", 3, 168)]
    now_us = 1_000 * HOUR_US

    assert reached(caps, [now_us - hours * HOUR_US for hours in (30, 60, 90)], now_us)
    assert reached([FrequencyCap("push", 0, 1)], [], now_us)
    assert not reached([], [now_us], now_us)
    assert longest_window_us(caps) == 168 * HOUR_US
    assert longest_window_us([]) == 0
