"""Who plays in the story, and when the promise counts as kept; the story itself needs a system."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nearline.contracts.answer import (
    Degradation,
    Receipt,
    Recommendation,
    RecommendedItem,
    Scene,
    Versions,
)
from nearline.contracts.event import Event, Line
from nearline.contracts.position import LogPosition
from nearline.demo.cast import Cast
from nearline.demo.story import Story, whole
from nearline.errors import PermanentError
from nearline.history import log_file_name, table_of, write_day_file

DAY_US = 86_400_000_000
NOW_US = 1_795_000_000_000_000


def answer(*item_ids: str, degraded: tuple[Degradation, ...] = ()) -> Recommendation:
    items = tuple(
        RecommendedItem(item_id, rank, 1.0, ("popular",), ())
        for rank, item_id in enumerate(item_ids, start=1)
    )
    receipt = Receipt("0-1-0", NOW_US, NOW_US, 0.0, 0.0)
    return Recommendation("r", Scene.HOME, items, (), Versions(), receipt, degraded)


KEPT = Story("ada", answer("a", "b"), (), answer("b", "c"), changed_ms=40.0, churn=())


def test_a_list_that_changed_in_time_keeps_the_promise() -> None:
    assert KEPT.failures == ()
    assert KEPT.fresh == ("c",)


def test_each_way_to_break_the_promise_is_told() -> None:
    same = replace(KEPT, after=KEPT.before)
    slow = replace(KEPT, changed_ms=3_001.0)
    poor = replace(KEPT, after=answer("c", degraded=(Degradation.RANKER_UNAVAILABLE,)))

    assert same.failures == ("the list did not change after three clicks",)
    assert slow.failures == ("the changed list took 3001 ms, and the promise is 3000 ms",)
    assert poor.failures == ("an answer was degraded: ranker_unavailable",)


def history(root: Path, looks: list[tuple[str, str, str, int]], consent: str) -> Path:
    """A history of looks: customer, item, category, and how many days ago."""
    events = [
        Event(
            event_id=f"e{number}",
            type="track",
            name="view_item",
            customer_id=customer_id,
            occurred_at_us=NOW_US - ago * DAY_US + number,
            known_at_us=NOW_US - ago * DAY_US + number,
            source="test",
            lines=(Line(item_id, 1, 999, category),),
            consent=("analytics", consent),
        )
        for number, (customer_id, item_id, category, ago) in enumerate(looks)
    ]
    places = [LogPosition(0, number + 1, 0) for number in range(len(events))]
    name = log_file_name(places[0], places[-1])
    write_day_file(root, "2026-11-18", name, table_of(events, places))
    return root


ADA = [("ada", f"shoe-{n}", "shoes", 0) for n in range(12)]
BOB = [("bob", f"book-{n}", "books", 12) for n in range(5)]


def test_the_customer_has_a_past_and_clicks_on_what_is_new_to_her(tmp_path: Path) -> None:
    cast = Cast(history(tmp_path, ADA + BOB, "personalization"), run=1)

    assert cast.customer() == "ada"
    clicks = cast.clicks("ada", {"book-0"}, {"shoes"})
    assert [click.item_id for click in clicks] == ["book-1", "book-2", "book-3"]
    assert cast.loyal_and_fading("nobody") == ("ada", "bob")


def test_a_history_too_small_for_three_clicks_says_so(tmp_path: Path) -> None:
    cast = Cast(history(tmp_path, ADA + BOB[:2], "personalization"), run=1)

    with pytest.raises(PermanentError, match="too few items"):
        cast.clicks("ada", set(), set())


def test_who_did_not_consent_to_personalization_does_not_play(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="no events that may be used"):
        Cast(history(tmp_path, ADA, "marketing"), run=1)


@pytest.mark.parametrize(("poor", "asked"), [(0, 1), (2, 3), (9, 3)])
def test_a_degraded_list_is_asked_for_again_but_not_for_ever(poor: int, asked: int) -> None:
    lists: list[Recommendation] = []

    def ask() -> Recommendation:
        reasons = (Degradation.FEATURES_UNAVAILABLE,) if len(lists) < poor else ()
        lists.append(answer("a", degraded=reasons))
        return lists[-1]

    assert whole(ask) is lists[-1]
    assert len(lists) == asked
