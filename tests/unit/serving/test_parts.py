"""Receipts, ids, words, reasons, backlog, and what a killed run leaves behind."""

from __future__ import annotations

import asyncio
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from nearline.contracts.event import Event
from nearline.contracts.position import LogPosition
from nearline.errors import StoreUnavailable
from nearline.online import CustomerReading
from nearline.served import FEATURES_HASH, Served
from nearline.transforms import customer
from nearline.transforms.customer import CUSTOMER_FEATURES
from nearline.transforms.demand import DEMAND_FEATURES
from nearline.transforms.item_facts import UNKNOWN_FACTS
from nearline.transforms.ranking import Candidate
from serving import keeping, server
from serving.exposures import Exposures
from serving.features import PopularItem, parse_popular
from serving.finding import Neighbour, Option
from serving.keeping import Keeper
from serving.reasons import reasons_for
from serving.receipts import receipt_of, response_id
from serving.served_log import ServedLog
from serving.wording import feature_words

SERVED = Served(
    response_id="r",
    customer_id="ann",
    as_of_us=1,
    bundle="1",
    features_hash=FEATURES_HASH,
    customer_position="",
    excluded=(),
    item_ids=("a",),
    categories=("c",),
    item_positions=((),),
    rows=b"",
)


def test_ids_sort_by_time_and_differ_within_a_millisecond() -> None:
    early, late = response_id(1_000_000, bytes(10)), response_id(2_000_000, bytes(10))

    assert early < late
    assert early != response_id(1_000_000, bytes(9) + b"\x01")
    assert len(early) == 32


def test_a_receipt_tells_how_old_what_it_saw_was(tiny: ModuleType) -> None:
    event = tiny.event(1, "ann", "view_item", [1], ago_s=3)
    state = customer.state_of(event)
    reading = CustomerReading(state, event.known_at_us + 500_000, LogPosition(2, 7, 0))

    receipt = receipt_of(reading, tiny.NOW_US)

    assert receipt.log_position == "2-7-0"
    assert receipt.newest_event_age_ms == 3_000
    assert receipt.features_age_ms == 2_500


def test_every_customer_feature_has_words_in_both_languages() -> None:
    for feature in (*CUSTOMER_FEATURES, *DEMAND_FEATURES):
        for value in (0.0, 1.5, 100.0, math.nan):
            en, zh = feature_words(feature, value)
            assert en
            assert zh
            assert "nan" not in (en + zh).lower()


@pytest.mark.parametrize(
    ("feature", "value", "en"),
    [
        ("views_24h", 3.0, "3 views in the last 24 hours"),
        ("seen_age_hours", 0.5, "Last was here 30 minutes ago"),
        ("seen_age_hours", 288.0, "Last was here 12 days ago"),
        ("purchase_age_hours", math.nan, "Never bought something"),
        ("spend_30d_cents", 123_450.0, "Spent 1234.50 in the last 30 days"),
        ("category_age_hours", 3.0, "Last looked into this category 3 hours ago"),
        ("category_interest", 0.25, "25 % of recent interest is in this category"),
        ("category_bought_last", 1.0, "The newest purchase was in this category: yes"),
        ("top_category_share", 0.5, "50 % of interest in one category"),
    ],
)
def test_words_say_the_number_in_its_unit(feature: str, value: float, en: str) -> None:
    assert feature_words(feature, value)[0] == en


def test_an_item_from_the_encoder_alone_names_its_nearest() -> None:
    candidate = Candidate("i1", 1, "", {"encoder": 0.1}, {"encoder": 9})
    option = Option.of(candidate, 0, UNKNOWN_FACTS)
    recents = (customer.Recent(5, 1, name, 1, 0, "") for name in ("i1", "i7"))
    near = [Neighbour(recent, cosine) for recent, cosine in zip(recents, (1.0, 0.01), strict=True)]

    (reason,) = reasons_for(option, near, set(), {})

    assert (reason.code, reason.item_id) == ("similar_to_viewed", "i7")


@pytest.mark.parametrize(
    "source", ["similar", "also_viewed", "bought_together", "complements", "category", "arrivals"]
)
def test_what_goes_by_the_items_of_a_page_claims_nothing_of_who_looks_at_it(source: str) -> None:
    candidate = Candidate("i1", 1, "", {source: 0.1}, {source: 1})

    for reason in reasons_for(Option.of(candidate, 0, UNKNOWN_FACTS), [], set(), {}):
        assert not re.search(r"\byou\b|\byour\b", reason.text_en)
        assert not re.search("[您你]", reason.text_zh)


def test_the_fallback_list_reads_as_nothing_when_it_is_not_one() -> None:
    assert parse_popular(b'[["a", "c", 100]]') == (PopularItem("a", "c", 100),)
    assert parse_popular(b'{"a": 1}') == ()
    assert parse_popular(b"\xff") == ()


def test_a_full_backlog_loses_the_oldest_and_counts_them(
    tiny: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> Exposures:
        async def away(_: Sequence[Event]) -> None:
            raise OSError

        exposures = Exposures(away, limit=3)
        for number in range(5):
            exposures.add(tiny.event(number, "ann", "exposure", [1]))
        assert (exposures.waiting, exposures.lost) == (3, 2)
        await exposures.close(limit_s=0)
        return exposures

    exposures = asyncio.run(story())

    assert (exposures.waiting, exposures.lost) == (0, 5)
    assert "3 exposures were not in the log when serving stopped" in caplog.text


def test_a_log_that_hangs_counts_as_failing(tiny: ModuleType) -> None:
    async def story() -> Exposures:
        async def hangs(_: Sequence[Event]) -> None:
            await asyncio.Event().wait()

        exposures = Exposures(hangs, append_limit_s=0.001)
        exposures.add(tiny.event(1, "ann", "exposure", [1]))
        while not exposures.failing:
            await asyncio.sleep(0)
        assert exposures.waiting == 1
        await exposures.close(limit_s=0)
        return exposures

    assert asyncio.run(asyncio.wait_for(story(), 10)).lost == 1


def test_what_a_killed_run_left_is_ended_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    dead, alive = tmp_path / f"nl-ray-{gone}-x", tmp_path / f"nl-ray-{os.getpid()}-x"
    dead.mkdir()
    alive.mkdir()
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with (
        subprocess.Popen(sleep, env={"NEARLINE_RAY_SESSION": str(dead)}) as orphan,
        subprocess.Popen(sleep, env={"NEARLINE_RAY_SESSION": str(alive)}) as ours,
    ):
        try:
            server._sweep_sessions()

            assert orphan.poll() is not None  # killed, and already waited for
            assert ours.poll() is None
        finally:
            ours.kill()
            orphan.kill()

    assert not dead.exists()
    assert alive.exists()


def test_served_vectors_and_what_is_kept_do_not_wait_for_a_store_that_says_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing else ends it: a server that is gone without a word resets no connection."""

    class Silent:
        async def set(self, *_: object, **__: object) -> None:
            await asyncio.Event().wait()

    async def says_nothing(_: Sequence[bytes]) -> None:
        await asyncio.Event().wait()

    async def story() -> None:
        keeper = Keeper()
        keeper.keep("policy", b"{}")
        monkeypatch.setattr(keeping, "WRITE_LIMIT_S", 0.001)
        with pytest.raises(StoreUnavailable, match="TimeoutError"):
            await keeper.flush(Silent())  # type: ignore[arg-type]
        served = ServedLog(says_nothing, share=1.0, append_limit_s=0.001)
        served.add(SERVED)
        while "TimeoutError" not in caplog.text:
            await asyncio.sleep(0)
        await served.close(limit_s=0)
        assert (served.waiting, served.written, served.dropped) == (0, 0, 1)

    asyncio.run(asyncio.wait_for(story(), 30))
