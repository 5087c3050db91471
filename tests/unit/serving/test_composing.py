"""A whole answer from what was read for it: pure, impersonal where asked, explained, watched."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nearline.contracts.answer import Degradation, Recommendation, RecommendQuery
from nearline.contracts.event import ITEM_LISTED, Event, StatedFacts
from nearline.contracts.position import LogPosition, partition_of
from nearline.errors import StoreUnavailable
from nearline.online import CustomerReading
from nearline.rankers import LightgbmTrees, columns_of
from nearline.served import decode
from nearline.transforms import customer
from nearline.transforms.ranking import RANKER_FEATURES
from serving import composing
from serving.arrivals import Stocks
from serving.composing import Composed, Inputs, compose
from serving.metrics import MeasuredAnswers, Metrics
from serving.policy.choose import Chosen
from serving.policy.load import shipped
from serving.policy.model import FrequencyCap, Policy
from serving.requests import InvalidRequest
from tests.unit.training.bring import made

RESPONSE_ID = "0123456789abcdef" * 2
SCENES = sorted(shipped().scenes)
ASKED: dict[str, dict[str, Any]] = {  # What a scene needs.
    "items": {"item_ids": ("i20", "i7")},
    "category": {"category": "c2"},
    "none": {},
}


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def question(scene: str, customer_id: str = "ann", **more: Any) -> RecommendQuery:
    return RecommendQuery(customer_id, scene, **{**ASKED[shipped().scenes[scene].needs], **more})


def history(tiny: ModuleType, seed: int, customer_id: str, count: int = 12) -> list[Event]:
    chance = random.Random(seed)
    names = ("view_item", "view_item", "add_to_cart", "purchase", "add_to_wishlist")
    return [
        tiny.event(
            seed * 1_000 + number,
            customer_id,
            chance.choice(names),
            [chance.randrange(tiny.ITEMS)],
            chance.uniform(1, 20 * 86_400),
        )
        for number in range(count)
    ]


@pytest.fixture
def shopped(world: Any, tiny: ModuleType) -> Any:
    """Ann and twenty others have been in the shop; the shop knows some of its items' facts."""
    for number in range(20):
        world.features.fold(history(tiny, number + 1, f"other-{number}"))
    world.features.fold(
        [
            tiny.event(1, "ann", "view_item", [3], 300),
            tiny.event(2, "ann", "view_item", [9], 200),
            tiny.event(3, "ann", "purchase", [4], 100),
            tiny.event(4, "ann", "add_to_cart", [9], 2),
        ]
    )
    return world


def inputs_of(world: Any, query: RecommendQuery, **more: Any) -> Inputs:
    """Everything that Answering would read for a question, read anew."""
    bundle, table = world.shelf.current, world.features.items
    reading = (
        run(world.features.customer(query.customer_id))
        if query.personalized
        else CustomerReading(customer.EMPTY, 0, None)
    )
    known: dict[str, Any] = {
        "query": query,
        "policy": world.policy[-1],
        "reading": reading,
        "bundle": bundle,
        "role": None,
        "stock": Stocks().of(bundle.version, bundle.finder, table),
        "table": table,
        "as_of_us": world.clock.now_us(),
        "response_id": RESPONSE_ID,
    }
    return Inputs(**(known | more))


def as_bytes(answer: Recommendation) -> bytes:
    return msgspec.json.encode(answer)


def ask(world: Any, query: RecommendQuery) -> Recommendation:
    answer: Recommendation = run(world.answering.recommend(query))
    return answer


# Pure.


@pytest.mark.parametrize("scene", SCENES)
def test_the_same_inputs_make_the_same_bytes(shopped: Any, scene: str) -> None:
    """With all that chance and campaigns can add: the shipped scenes explore."""
    for who in ("ann", "other-3", "a stranger"):
        query = question(scene, who, explain=True)
        first, second = (
            compose(inputs_of(shopped, query, policy=shipped())) for _ in range(2)
        )  # each with a stock and a reading of its own

        assert as_bytes(first.answer) == as_bytes(second.answer)
        assert first.broken == ()


def test_asking_for_rows_of_other_instants_between_leaves_no_trace(shopped: Any) -> None:
    """The table keeps what it finished last; an answer must not depend on who asked before."""
    query = question("home")
    before = as_bytes(compose(inputs_of(shopped, query)).answer)

    for days in (-3, 40):
        at_us = shopped.clock.now_us() + days * 86_400_000_000
        compose(inputs_of(shopped, query, as_of_us=at_us))

    assert as_bytes(compose(inputs_of(shopped, query)).answer) == before


def test_chance_comes_from_the_response_id_and_moves_the_explored_places_alone(
    shopped: Any,
) -> None:
    query = question("home")
    answers = [
        compose(inputs_of(shopped, query, policy=shipped(), response_id=f"{n:032x}")).answer
        for n in range(40)
    ]
    lists = {tuple(item.item_id for item in answer.items) for answer in answers}

    assert 1 < len(lists) < 40
    assert len({one[:9] for one in lists}) == 1  # `explore: {places: 1}` is the tenth.
    for answer in answers:
        assert all(item.propensity == 1.0 for item in answer.items[:9])
        assert 0.0 < answer.items[9].propensity < 1.0


# Without personalization.


HISTORIES = st.tuples(st.integers(1, 10**6), st.integers(0, 30))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(HISTORIES, HISTORIES, st.sampled_from(SCENES), st.booleans())
def test_without_personalization_the_bytes_are_the_same_for_everybody(
    shopped: Any,
    tiny: ModuleType,
    one: tuple[int, int],
    other: tuple[int, int],
    scene: str,
    explain: bool,
) -> None:
    shopped.policy.append(with_campaigns(shipped()))
    for name, (seed, count) in (("one", one), ("other", other)):
        shopped.features.fold(history(tiny, seed, f"{name}-{seed}", count))
    asked = [
        question(scene, f"{name}-{seed}", personalized=False, explain=explain)
        for name, (seed, _) in (("one", one), ("other", other))
    ]

    answers = [ask(shopped, query) for query in asked]

    first, second = (as_bytes(replace(answer, response_id="")) for answer in answers)
    assert first == second
    assert answers[0].items


def with_campaigns(policy: Policy) -> Policy:
    """A campaign for those who have something in the cart: personal, if ever anything is."""
    audience = [{"tags": ["cart_waiting"]}]
    return msgspec.convert(
        msgspec.to_builtins(policy)
        | {
            "campaigns": [
                {
                    "id": "cart",
                    "from": "2020-01-01T00:00:00Z",
                    "to": "2040-01-01T00:00:00Z",
                    "pins": [{"item_id": "i33", "place": 1}],
                    "audience": one,
                }
                for one in audience
            ]
        },
        Policy,
        strict=False,
    )


def test_without_personalization_chance_does_not_tell_two_answers_apart(shopped: Any) -> None:
    """What a scene explores goes by the answer's id, and would be another list for each."""
    for scene in ("home", "guess_you_like", "category", "marketing"):
        query = question(scene, personalized=False)
        answers = [
            compose(
                inputs_of(shopped, query, policy=shipped(), response_id=f"{number:032x}")
            ).answer
            for number in range(40)
        ]

        assert len({as_bytes(replace(one, response_id="")) for one in answers}) == 1
        assert all(item.propensity == 1.0 for item in answers[0].items)


def test_without_personalization_nothing_of_the_customer_is_read_or_counted(
    shopped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(*_: object) -> None:
        raise AssertionError("the customer was read")

    for part, names in (
        (shopped.features, ("customer", "position")),
        (shopped.caps, ("take",)),
    ):
        for name in names:
            monkeypatch.setattr(part, name, nobody)

    for scene in SCENES:
        answer = ask(shopped, question(scene, personalized=False, min_position="0-9999999999999-0"))
        assert answer.degraded == ()
        assert answer.receipt.log_position == ""
        assert answer.receipt.newest_event_at_us == 0
    assert shopped.served == []


def test_what_the_question_itself_says_still_holds_without_personalization(shopped: Any) -> None:
    plain = ask(shopped, question("home", personalized=False))
    gone = tuple(item.item_id for item in plain.items[:3])

    answer = ask(shopped, question("home", personalized=False, exclude_item_ids=gone))

    assert not {item.item_id for item in answer.items} & set(gone)
    assert "i4" in {
        item.item_id for item in ask(shopped, question("home", k=100, personalized=False)).items
    }  # Ann has bought it, but this list is nobody's.


# One's own event.


def token(ms: int, who: str = "ann", partitions: int = 4) -> str:
    return str(LogPosition(partition_of(who, partitions), ms, 0))


def test_an_answer_that_has_seen_the_event_comes_at_once(shopped: Any) -> None:
    position = run(shopped.features.position("ann"))

    answer = ask(shopped, question("home", min_position=str(position), max_wait_ms=0))

    assert answer.degraded == ()
    assert answer.receipt.log_position == str(position)


def test_an_answer_waits_for_the_event_and_then_has_it(shopped: Any, tiny: ModuleType) -> None:
    position = run(shopped.features.position("ann"))
    wanted = replace(position, ms=position.ms + 1)

    async def story() -> tuple[Recommendation, bool]:
        query = question("home", min_position=str(wanted), max_wait_ms=2_000)
        asking = asyncio.create_task(shopped.answering.recommend(query))
        await asyncio.sleep(0.03)
        waited = not asking.done()
        shopped.features.fold([tiny.event(9, "ann", "add_to_cart", [30], 1)])
        return await asking, waited

    answer, waited = run(story())

    assert waited
    assert answer.degraded == ()
    assert answer.receipt.log_position == str(wanted)


def test_an_event_that_does_not_come_in_time_is_told_and_the_answer_is_whole(shopped: Any) -> None:
    answer = ask(shopped, question("home", min_position=token(9_999_999), max_wait_ms=20))

    assert answer.degraded == (Degradation.STALE,)
    assert len(answer.items) == 10


@pytest.mark.parametrize("who", ["ann", "nobody"])
def test_an_event_that_changes_no_row_is_not_waited_for(
    shopped: Any, tiny: ModuleType, who: str
) -> None:
    shopped.features.fold([tiny.event(9, who, "identify", [], 1)])
    wanted = str(run(shopped.features.position(who)))

    answer = ask(shopped, question("home", who, min_position=wanted, max_wait_ms=0))

    assert answer.degraded == ()
    assert answer.receipt.log_position == wanted


def test_an_answer_without_the_customers_row_does_not_say_that_it_has_seen_an_event(
    shopped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = str(run(shopped.features.position("ann")))

    async def gone(*_: object) -> None:
        raise StoreUnavailable("Redis", "its address", "gone since the event was seen")

    monkeypatch.setattr(shopped.features, "customer", gone)
    answer = ask(shopped, question("home", min_position=wanted, max_wait_ms=0))

    assert answer.degraded == (Degradation.FEATURES_UNAVAILABLE,)
    assert answer.receipt.log_position == ""


def test_a_stranger_whose_event_does_not_come_is_told_too(shopped: Any) -> None:
    query = question("home", "nobody", min_position=token(9_999_999, "nobody"), max_wait_ms=0)

    assert ask(shopped, query).degraded == (Degradation.STALE,)


@pytest.mark.parametrize("who", ["ann", "nobody"])
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("partition", [1, 2, 3])
def test_another_customers_token_is_told_as_a_mistake_of_strangers_too_and_without_a_read(
    shopped: Any, monkeypatch: pytest.MonkeyPatch, who: str, partition: int, down: bool
) -> None:
    async def never(*_: object) -> None:
        raise AssertionError("the customer was read")

    shopped.features.down = down
    monkeypatch.setattr(shopped.features, "customer", never)
    monkeypatch.setattr(shopped.features, "position", never)
    foreign = str(LogPosition((partition_of(who, 4) + partition) % 4, 1, 0))

    with pytest.raises(InvalidRequest, match="min_position: is the token of another customer"):
        ask(shopped, question("home", who, min_position=foreign))


@pytest.mark.parametrize("partition", [4, 400])
def test_a_token_of_a_partition_that_is_not_there_is_told_as_that(
    shopped: Any, partition: int
) -> None:
    nowhere = question("home", min_position=f"{partition}-1-0")

    with pytest.raises(
        InvalidRequest, match=f"names partition {partition}, and this log has 4, counted from 0"
    ):
        ask(shopped, nowhere)


def test_while_the_store_is_down_nobody_waits_for_it(shopped: Any) -> None:
    shopped.features.down = True

    answer = ask(shopped, question("home", min_position=token(1), max_wait_ms=2_000))

    assert set(answer.degraded) == {Degradation.FEATURES_UNAVAILABLE, Degradation.STALE}


# Why.


def lightgbm_ranker() -> LightgbmTrees:
    features = ["encoder_score", "item_price_cents", "seen_count", "popular_rank"]
    return LightgbmTrees(made.lightgbm_of(features, made.trial().train), columns_of(features))


@pytest.mark.parametrize("form", ["xgboost", "lightgbm"])
def test_contributions_and_one_base_add_up_to_each_items_score(shopped: Any, form: str) -> None:
    if form == "lightgbm":
        ranker = lightgbm_ranker()
        shopped.shelf._held["1"] = replace(shopped.shelf.current, ranker=ranker)

    composed = compose(inputs_of(shopped, question("home", k=30, explain=True)))

    rows = composed.scored.rows_CF
    assert rows is not None
    pulls = shopped.shelf.current.ranker.contributions(rows)
    place_of = {one.item_id: at for at, one in enumerate(composed.found.options)}
    bases = []
    for item in composed.answer.items:
        pull = pulls[place_of[item.item_id]]
        bases.append(item.score - float(pull.sum()))
        told = {one.feature: one.contribution for one in item.explanation.contributions}
        strongest = [at for at in np.argsort(-np.abs(pull), kind="stable")[:6] if pull[at]]
        assert told == {RANKER_FEATURES[at]: pytest.approx(float(pull[at])) for at in strongest}
        for one in item.explanation.contributions:
            value = rows[place_of[item.item_id], RANKER_FEATURES.index(one.feature)]
            assert one.value is None if np.isnan(value) else one.value == float(value)
            assert one.text_en
            assert one.text_zh
    assert bases == pytest.approx([bases[0]] * len(bases), abs=1e-5)
    assert len({round(float(pull.sum()), 4) for pull in pulls}) > 1  # They say something.


def test_an_explanation_names_the_sources_and_the_nearest_past_events(shopped: Any) -> None:
    answer = ask(shopped, question("home", k=100, explain=True))

    carted = next(item for item in answer.items if item.item_id == "i9")
    assert set(carted.explanation.source_ranks) == set(carted.sources)
    assert carted.explanation.nearest[0].item_id == "i9"
    assert carted.explanation.nearest[0].kind == "cart"  # the newest of the two events with it
    assert carted.explanation.nearest[0].similarity == 1.0
    for item in answer.items:
        found = [one.similarity for one in item.explanation.nearest]
        assert found == sorted(found, reverse=True)
    assert all(item.explanation is None for item in ask(shopped, question("home")).items)


# More than the scene shows.


def test_a_list_shorter_than_what_was_asked_for_says_that_the_scene_shows_no_more(
    shopped: Any,
) -> None:
    shopped.policy.append(shipped())

    whole, cut = (ask(shopped, question("push", k=k)) for k in (10, 14))

    assert len(whole.items) == len(cut.items) == 10
    assert [effect.rule for effect in cut.rules] == [*(one.rule for one in whole.rules), "length"]
    said = cut.rules[-1]
    assert (said.affected, said.item_ids) == (4, ())
    assert said.note == "14 items were asked for; the scene push shows at most 10"


# What must never happen, should it happen.


def test_a_list_that_breaks_a_rule_is_counted_and_logged_by_the_rules_name(
    shopped: Any,
    tiny: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shopped.features.fold([listed(tiny, 21, stock=0)])

    def faulty(ranked: Sequence[Any], *_: object, **__: object) -> Chosen:
        """Takes what comes first twice, and what is out of stock."""
        places = (0, 0, *(at for at, one in enumerate(ranked) if one.item_id == "i21"))
        return Chosen(places, (), ((),) * len(places), (1.0,) * len(places))

    monkeypatch.setattr(composing, "choose", faulty)
    metrics = Metrics(shopped.exposures)
    measured = MeasuredAnswers(shopped.answering, metrics)

    run(measured.recommend(question("category", category="c3", k=5)))

    page = metrics.text().decode()
    assert 'nearline_rule_violations_total{rule="duplicate"} 1.0' in page
    assert 'nearline_rule_violations_total{rule="out_of_stock"} 1.0' in page
    assert "broke the rule duplicate" in caplog.text
    assert "ann" not in caplog.text


def test_an_honest_list_counts_nothing(shopped: Any) -> None:
    metrics = Metrics(shopped.exposures)
    measured = MeasuredAnswers(shopped.answering, metrics)
    for scene in SCENES:
        run(measured.recommend(question(scene)))

    assert "nearline_rule_violations_total{" not in metrics.text().decode()


# What is kept of it.


def test_the_vectors_that_are_kept_name_every_event_that_they_hold(shopped: Any) -> None:
    async def story() -> Recommendation:
        answer = await shopped.answering.recommend(question("home"))
        await shopped.answering._served.close(limit_s=5)
        return answer

    answer = run(story())

    (record,) = map(decode, shopped.served)
    table = shopped.features.items
    assert record.response_id == answer.response_id
    assert record.customer_position == answer.receipt.log_position
    assert answer.receipt.item_positions == tuple(map(str, table.positions))
    assert set(record.item_positions) == {answer.receipt.item_positions}
    composed = compose(inputs_of(shopped, question("home")))
    assert record.rows == composed.scored.rows_CF.astype("<f4").tobytes()
    assert record.item_ids == tuple(one.item_id for one in composed.found.options)


def test_an_empty_table_is_exact_too(world: Any) -> None:
    """Nothing has happened yet: that is a state of the items, as of the start of each partition."""
    answer = compose(inputs_of(world, question("home", "nobody"))).answer

    assert answer.receipt.item_positions == ("0-0-0", "1-0-0", "2-0-0", "3-0-0")


# The scenes that ship.


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("who", ["ann", "a stranger"])
def test_each_shipped_scene_fills_its_list_with_items_that_fit(
    shopped: Any, scene: str, who: str
) -> None:
    query = question(scene, who)
    answer = ask(shopped, query)

    stated = shipped().scenes[scene]
    rules = shipped().scene_rules[scene].settings
    ids = [item.item_id for item in answer.items]
    assert answer.degraded == ()
    assert len(ids) == len(set(ids)) > 0
    if stated.fallback and who == "ann" and scene != "detail_bought_together":
        assert len(ids) == stated.length.default
    assert not set(ids) & set(query.item_ids)
    assert who != "ann" or "i4" not in ids
    known = {*stated.sources, *stated.fallback}
    assert {source for item in answer.items for source in item.sources} <= known
    assert all(item.reasons for item in answer.items)
    kinds = Counter(item.category for item in answer.items)
    assert max(kinds.values()) <= max(1, int(rules.category_share * len(ids)))


def test_a_product_page_shows_what_goes_with_its_item_and_a_category_page_its_category(
    shopped: Any,
) -> None:
    page = ask(shopped, question("detail_similar", item_ids=("i20",)))
    shelf = ask(shopped, question("category", category="c2"))

    assert {source for item in page.items for source in item.sources} >= {"similar", "also_viewed"}
    codes = {reason.code for item in page.items for reason in item.reasons}
    assert codes >= {"similar_to_this", "also_viewed"}
    assert {item.category for item in shelf.items} == {"c2"}
    assert len(shelf.items) == 10  # All that the tiny shop has of it.


def test_the_item_most_similar_to_the_anchor_is_found_by_hand(shopped: Any) -> None:
    answer = ask(shopped, question("detail_similar", "a stranger", item_ids=("i20",), k=50))

    units = shopped.shelf.current.finder.unit_vectors
    cosines = units @ units[20]
    nearest = int(np.argsort(-cosines)[1])  # The first is i20 itself.
    (found,) = [item for item in answer.items if item.item_id == f"i{nearest}"]
    assert "similar" in found.sources
    explained = compose(
        inputs_of(shopped, question("detail_similar", "a stranger", item_ids=("i20",), k=50))
    )
    (option,) = [one for one in explained.found.options if one.item_id == f"i{nearest}"]
    assert option.candidate.ranks["similar"] == 1


def test_what_runs_out_comes_back_to_its_buyer_when_it_is_due(
    shopped: Any, tiny: ModuleType
) -> None:
    shopped.features.fold([listed(tiny, 40, repurchase_days=14)])
    for days, name in ((20, "due"), (10, "not yet")):
        shopped.features.fold([tiny.event(60 + days, name, "purchase", [40], days * 86_400)])

    shown = {
        name: {item.item_id: item for item in ask(shopped, question("after_purchase", name)).items}
        for name in ("due", "not yet")
    }

    assert "repurchase" in shown["due"]["i40"].sources
    assert "i40" not in shown["not yet"]


def listed(tiny: ModuleType, row: int, **stated: Any) -> Event:
    """What the shop says of an item, long ago."""
    event = tiny.event(5_000 + row, "shop", ITEM_LISTED, [row], 200 * 86_400)
    line = msgspec.structs.replace(event.lines[0], facts=StatedFacts(**stated))
    return msgspec.structs.replace(event, lines=(line,))


# Channels.


def capped(world: Any, *caps: FrequencyCap) -> None:
    held = world.policy[-1]
    rules = msgspec.structs.replace(held.rules, frequency_caps=caps)
    world.policy.append(msgspec.structs.replace(held, rules=rules))


def test_a_channel_is_closed_after_as_many_lists_as_its_cap_allows_and_opens_again(
    shopped: Any,
) -> None:
    capped(shopped, FrequencyCap("push", at_most=2, window_hours=24))

    answers = [ask(shopped, question("push", k=k)) for k in (None, None, 100, None)]

    assert [len(one.items) for one in answers] == [3, 3, 0, 0]
    (effect,) = [one for one in answers[2].rules if one.rule == "frequency_cap"]
    assert "length" not in {one.rule for one in answers[2].rules}  # Nothing was cut to it.
    assert "as many lists" in effect.note
    assert answers[2].degraded == ()  # It is a rule that held, nothing was missing.
    assert len(ask(shopped, question("push", "other-1")).items) == 3
    assert len(ask(shopped, question("home")).items) == 10
    assert ask(shopped, question("home", channel="push")).items == ()
    shopped.clock.advance(24 * 3_600_000_000)
    assert len(ask(shopped, question("push")).items) == 3


def test_a_scenes_longer_cap_holds_whatever_other_scenes_by_its_channel_remember(
    shopped: Any,
) -> None:
    """Push has a day's cap, e-mail's scene a week's by push; home has none of its own."""
    held = shopped.policy[-1]
    day, week = FrequencyCap("push", 9, 24), FrequencyCap("push", 2, 168)
    scenes = dict(held.scenes)
    for name, caps in (("push", (day,)), ("email", (week,))):
        rules = msgspec.structs.replace(scenes[name].rules, frequency_caps=caps)
        scenes[name] = msgspec.structs.replace(scenes[name], rules=rules)
    without = msgspec.structs.replace(held.rules, frequency_caps=())
    shopped.policy.append(msgspec.structs.replace(held, scenes=scenes, rules=without))

    assert ask(shopped, question("email", channel="push")).items
    shopped.clock.advance(48 * 3_600_000_000)
    assert ask(shopped, question("push")).items  # Trims what it does not need itself.
    assert ask(shopped, question("email", channel="push")).items == ()
    assert ask(shopped, question("email", "other-1", channel="push")).items
    assert ask(shopped, question("home", "other-1", channel="push")).items
    assert ask(shopped, question("email", "other-1", channel="push")).items == ()
    shopped.caps.down = True
    assert ask(shopped, question("email", "other-2", channel="push")).items == ()
    free = ask(shopped, question("home", "other-2", channel="push"))
    assert (len(free.items), free.degraded) == (10, ())  # It has no cap that could be exceeded.


def test_where_the_counts_cannot_be_read_nothing_is_sent_and_the_answer_says_so(
    shopped: Any,
) -> None:
    shopped.caps.down = True

    answer = ask(shopped, question("push"))

    assert answer.items == ()
    assert answer.degraded == (Degradation.CAP_UNKNOWN,)
    assert len(ask(shopped, question("home")).items) == 10


def test_a_list_as_of_a_stated_instant_is_sent_to_nobody_and_not_counted(
    shopped: Any, tiny: ModuleType
) -> None:
    capped(shopped, FrequencyCap("push", at_most=1, window_hours=24))
    for _ in range(3):
        assert ask(shopped, question("push", as_of_us=tiny.NOW_US)).items

    assert ask(shopped, question("push")).items


def test_an_answer_is_composed_of_what_its_inputs_say_and_of_nothing_else(shopped: Any) -> None:
    inputs = inputs_of(shopped, question("home"))
    composed: Composed = compose(replace(inputs, capped=True))

    assert composed.answer.items == ()
    assert compose(inputs).answer.items != ()
    without = compose(replace(inputs, without=frozenset({Degradation.RANKER_UNAVAILABLE})))
    assert without.answer.degraded == (Degradation.RANKER_UNAVAILABLE,)
    late = compose(inputs, late=lambda: True)
    assert late.answer.degraded == (Degradation.RANKER_UNAVAILABLE, Degradation.DEADLINE)
    assert late.answer.items == without.answer.items
