"""What counting lists must do, in memory and in Redis alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import pytest

from nearline.errors import StoreUnavailable
from serving.caps import Caps
from serving.policy.caps import longest_window_us
from serving.policy.model import FrequencyCap

HOUR_US = 3_600_000_000
NOW_US = 1_795_201_200_000_000
TWO_A_DAY = FrequencyCap("push", at_most=2, window_hours=24)
FIVE_A_WEEK = FrequencyCap("push", at_most=5, window_hours=168)


class Counted(Protocol):
    def opened(self) -> AbstractAsyncContextManager[Caps]:
        """Empty counts."""

    def down(self) -> AbstractAsyncContextManager[Caps]:
        """Counts that cannot be read."""


def tell(counted: Counted, story: Callable[[Caps], Awaitable[None]], *, down: bool = False) -> None:
    async def told() -> None:
        async with counted.down() if down else counted.opened() as caps:
            await story(caps)

    asyncio.run(told())


async def take(
    caps: Caps,
    who: str,
    limits: Sequence[FrequencyCap],
    name: str,
    now_us: int,
    *,
    channel: str = "",
    remember_us: int | None = None,
) -> bool:
    """Count a list, remembered no longer than these limits need, unless said otherwise."""
    return await caps.take(
        who,
        channel or limits[0].channel,
        limits,
        name,
        now_us,
        remember_us=longest_window_us(limits) if remember_us is None else remember_us,
    )


class CapsScenarios:
    """To be subclassed where a fixture `counted` gives empty counts."""

    def test_a_window_holds_what_came_within_it_to_the_microsecond(self, counted: Counted) -> None:
        async def story(caps: Caps) -> None:
            async def taken(after_us: int) -> bool:
                return await take(caps, "ann", [TWO_A_DAY], f"at-{after_us}", NOW_US + after_us)

            assert await taken(0)
            assert await taken(HOUR_US)
            assert not await taken(2 * HOUR_US)
            assert not await taken(24 * HOUR_US - 1)
            assert await taken(24 * HOUR_US)  # The first one is a day old now.
            assert not await taken(25 * HOUR_US - 1)
            assert await taken(25 * HOUR_US)

        tell(counted, story)

    def test_what_was_refused_does_not_count(self, counted: Counted) -> None:
        async def story(caps: Caps) -> None:
            for number in range(2):
                assert await take(caps, "ann", [TWO_A_DAY], str(number), NOW_US)
            for number in range(9):
                assert not await take(
                    caps, "ann", [TWO_A_DAY], f"refused-{number}", NOW_US + 23 * HOUR_US
                )
            assert await take(caps, "ann", [TWO_A_DAY], "later", NOW_US + 24 * HOUR_US)

        tell(counted, story)

    def test_of_two_caps_each_holds(self, counted: Counted) -> None:
        both = [TWO_A_DAY, FIVE_A_WEEK]

        async def story(caps: Caps) -> None:
            taken = [
                await take(caps, "ann", both, f"{day}-{number}", NOW_US + day * 24 * HOUR_US)
                for day in range(4)
                for number in range(3)
            ]
            # Two on each of two days, one on the third, when five are the week's.
            assert taken == [True, True, False] * 2 + [True, False, False] + [False] * 3
            assert await take(caps, "ann", both, "next week", NOW_US + 168 * HOUR_US)

        tell(counted, story)

    def test_a_scene_that_looks_back_for_a_day_does_not_forget_what_anothers_week_counts(
        self, counted: Counted
    ) -> None:
        async def story(caps: Caps) -> None:
            week_us = 168 * HOUR_US
            for number in range(5):
                assert await take(caps, "ann", [FIVE_A_WEEK], f"week-{number}", NOW_US)
            day_2_us, day_3_us = NOW_US + 48 * HOUR_US, NOW_US + 72 * HOUR_US
            assert await take(caps, "ann", [TWO_A_DAY], "day", day_2_us, remember_us=week_us)
            assert not await take(caps, "ann", [FIVE_A_WEEK], "week-5", day_3_us)
            # The five are a week old, and the one by the other scene still counts.
            assert await take(caps, "ann", [FIVE_A_WEEK], "week-6", NOW_US + week_us)

        tell(counted, story)

    def test_a_list_of_a_scene_without_a_cap_counts_for_those_that_have_one(
        self, counted: Counted
    ) -> None:
        async def story(caps: Caps) -> None:
            day_us = 24 * HOUR_US
            for number in range(3):
                name = f"free-{number}"
                assert await take(caps, "ann", [], name, NOW_US, channel="push", remember_us=day_us)
            assert not await take(caps, "ann", [TWO_A_DAY], "capped", NOW_US + HOUR_US)

        tell(counted, story)

    def test_customers_and_channels_are_counted_apart(self, counted: Counted) -> None:
        mails = FrequencyCap("email", at_most=1, window_hours=24)

        async def story(caps: Caps) -> None:
            assert await take(caps, "ann", [mails], "1", NOW_US)
            assert not await take(caps, "ann", [mails], "2", NOW_US)
            assert await take(caps, "bob", [mails], "3", NOW_US)
            assert await take(caps, "ann", [TWO_A_DAY], "4", NOW_US)
            assert await take(caps, "陈:push", [mails], "5", NOW_US)

        tell(counted, story)

    def test_a_cap_of_none_lets_nothing_through(self, counted: Counted) -> None:
        async def story(caps: Caps) -> None:
            never = [FrequencyCap("push", at_most=0, window_hours=1)]
            assert not await take(caps, "ann", never, "1", NOW_US)

        tell(counted, story)

    def test_of_twenty_at_once_no_more_than_allowed_are_let_through(self, counted: Counted) -> None:
        async def story(caps: Caps) -> None:
            taken = await asyncio.gather(
                *(
                    take(caps, "ann", [FIVE_A_WEEK], str(number), NOW_US + number)
                    for number in range(20)
                )
            )
            assert sum(taken) == 5

        tell(counted, story)

    def test_a_list_by_a_clock_that_is_ahead_counts_already(self, counted: Counted) -> None:
        """Replicas' clocks differ: a message too many cannot be taken back."""

        async def story(caps: Caps) -> None:
            once = [FrequencyCap("push", at_most=1, window_hours=1)]
            assert await take(caps, "ann", once, "ahead", NOW_US + 5_000)
            assert not await take(caps, "ann", once, "behind", NOW_US)

        tell(counted, story)

    def test_counts_that_cannot_be_read_are_told(self, counted: Counted) -> None:
        async def story(caps: Caps) -> None:
            with pytest.raises(StoreUnavailable):
                await take(caps, "ann", [TWO_A_DAY], "1", NOW_US)

        tell(counted, story, down=True)
