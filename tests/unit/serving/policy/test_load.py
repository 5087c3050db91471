"""Policy files: what they may say, what each mistake is told, and what their version covers."""

from __future__ import annotations

import inspect
import pickle
import re
from datetime import UTC, datetime
from textwrap import dedent
from typing import get_args

import pytest

from nearline.contracts.answer import Scene as SceneName
from nearline.transforms import tags
from nearline.transforms.ranking import SOURCES
from serving.policy.lines import MAX_BYTES
from serving.policy.load import PolicyRefused, load, shipped
from serving.policy.model import (
    FrequencyCap,
    Policy,
    RuleOverrides,
    RuleSettings,
    SourceName,
    canonical,
    from_canonical,
)

HOME = "scenes: {home: {title: {en: Home, zh: 首页}, sources: {encoder: 10}}}\n"


def loaded(text: str, **others: str) -> Policy:
    files = {"policy.yaml": text, **{f"{name}.yaml": other for name, other in others.items()}}
    return load({name: dedent(one).encode() for name, one in files.items()})


def refused(text: str, **others: str) -> list[str]:
    with pytest.raises(PolicyRefused) as caught:
        loaded(text, **others)
    return str(caught.value).splitlines()


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_LANG", "en")


# What ships


def test_every_scene_of_the_contract_ships() -> None:
    assert set(shipped().scenes) == {name.value for name in SceneName}
    channels = {name: scene.channel for name, scene in shipped().scenes.items() if scene.channel}
    assert channels == {"push": "push", "email": "email"}
    for channel in channels:
        assert shipped().scene_rules[channel].caps(channel)


def test_the_shipped_rules_are_those_of_the_code() -> None:
    assert shipped().rules == RuleSettings(
        frequency_caps=(FrequencyCap("email", 3, 168), FrequencyCap("push", 2, 24))
    )


def test_scenes_know_the_sources_of_retrieval() -> None:
    assert set(get_args(SourceName)) == {
        *SOURCES,
        *("similar", "also_viewed", "bought_together", "complements", "repurchase", "category"),
    }


def test_audiences_know_all_tags() -> None:
    made = re.findall(r'Tag\("(\w+)"', inspect.getsource(tags))
    assert sorted(made) == sorted(tags.CODES)


def test_a_scene_may_override_every_rule() -> None:
    assert RuleOverrides.__struct_fields__ == RuleSettings.__struct_fields__


# What files say


def test_sections_that_no_file_has_are_the_shipped_ones() -> None:
    policy = loaded("rules: {category_share: 0.5}")

    assert policy.scenes == shipped().scenes
    assert (policy.rules.category_share, policy.rules.frequency_caps) == (0.5, ())
    assert loaded("campaigns: []") == shipped()
    assert loaded("# nothing\n") == shipped()
    assert loaded("rules:\ncampaigns:\n").rules == RuleSettings()


def test_files_of_a_folder_are_one_policy() -> None:
    other = "scenes: {cart: {title: {en: Cart, zh: 购物车}, sources: {covisit: 5}, needs: items}}"

    policy = loaded(HOME, more=other, rules="rules: {min_rating: null}")

    assert sorted(policy.scenes) == ["cart", "home"]
    assert policy.scenes["cart"].needs == "items"
    assert policy.rules.min_rating is None


def test_ids_need_no_quotes_whatever_yaml_takes_them_for() -> None:
    policy = loaded(
        "rules: {banned: [1001, no, 1e3, 2026-01-01, ~x, 'null'], banned_categories: [on]}"
    )

    assert policy.rules.banned == {"1001", "no", "1e3", "2026-01-01", "~x", "null"}
    assert policy.rules.banned_categories == {"on"}


def test_a_scene_s_rules_stand_before_the_shop_s_and_its_lists_add() -> None:
    policy = loaded(
        """
        rules:
          banned: [a]
          repurchasable_categories: {food: 14, pets: 30}
          category_share: 0.2
          frequency_caps: [{channel: push, at_most: 1, window_hours: 24}]
        scenes:
          home:
            title: {en: Home, zh: 首页}
            sources: {encoder: 10}
            rules:
              banned: [b]
              repurchasable_categories: {food: 7}
              min_rating: null
              frequency_caps: [{channel: push, at_most: 3, window_hours: 168}]
        """
    )

    assert policy.scene_rules["home"].settings == RuleSettings(
        banned=frozenset({"a", "b"}),
        repurchasable_categories={"food": 7, "pets": 30},
        category_share=0.2,
        min_rating=None,
        frequency_caps=(FrequencyCap("push", 1, 24), FrequencyCap("push", 3, 168)),
    )


@pytest.mark.parametrize(
    ("written", "starts", "ends"),
    [
        ("{from: 2026-11-01, to: 2026-11-11}", (2026, 11, 1), (2026, 11, 12)),
        (
            "{from: 2026-11-01 08:30, to: 2026-11-11 20:00}",
            (2026, 11, 1, 8, 30),
            (2026, 11, 11, 20),
        ),
        (
            "{from: 2026-11-01T08:00:00+08:00, to: 2026-11-11T20:00:00Z}",
            (2026, 11, 1),
            (2026, 11, 11, 20),
        ),
    ],
)
def test_a_day_counts_to_its_end_and_no_zone_means_utc(
    written: str, starts: tuple[int, ...], ends: tuple[int, ...]
) -> None:
    policy = loaded(
        f"campaigns: [{{id: x, boosts: [{{category: a, factor: 2}}], {written[1:-1]}}}]"
    )

    (campaign,) = policy.campaigns
    assert campaign.starts == datetime(*starts, tzinfo=UTC)  # type: ignore[misc, arg-type]
    assert campaign.ends == datetime(*ends, tzinfo=UTC)  # type: ignore[misc, arg-type]


def test_a_campaign_reaches_the_scenes_it_names_or_all() -> None:
    policy = loaded(
        """
        campaigns:
          - {id: b, from: 2026-11-01, to: 2026-11-02, pins: [{item_id: i, place: 1}],
             scenes: [cart]}
          - {id: a, from: 2026-11-01, to: 2026-11-02, pins: [{item_id: i, place: 1}]}
        """
    )

    def ids(scene: str) -> list[str]:
        return [one.id for one in policy.scene_rules[scene].campaigns]

    assert (ids("home"), ids("cart")) == (["a"], ["a", "b"])


# The version


def test_order_and_layout_do_not_change_the_version_and_content_does() -> None:
    one = """
        rules:
          banned: [a, b]
          category_share: 0.3   # the default
        campaigns:
          - id: y
            from: 2026-11-01
            to: 2026-11-11
            pins: [{item_id: i, place: 1}, {item_id: j, place: 2}]
            boosts: [{category: c, factor: 2}, {item_id: k, factor: 3}]
          - {id: x, from: 2026-11-01, to: 2026-11-11, boosts: [{category: c, factor: 2}]}
        """
    other = """
        campaigns:
          - {id: x, to: 2026-11-11, from: 2026-11-01T00:00+00:00,
             boosts: [{factor: 2.0, category: "c"}]}
          - id: y
            pins: [{item_id: j, place: 2}, {place: 1, item_id: i}]
            boosts: [{item_id: k, factor: 3}, {category: c, factor: 2}]
            from: 2026-11-01
            to: 2026-11-12 00:00
        """
    policy = loaded(one)

    assert re.fullmatch("[0-9a-f]{12}", policy.version)
    assert loaded(other, rules="rules: {banned: [b, a]}") == policy
    assert loaded(other, rules="rules: {banned: [b, a]}").version == policy.version
    assert loaded(other, rules="rules: {banned: [b, c]}").version != policy.version


def test_a_policy_is_rebuilt_from_what_was_kept_of_it() -> None:
    campaign = "{id: x, from: 2026-11-01, to: 2026-11-11, pins: [{item_id: i, place: 1}]}"
    scene = "{title: {en: H, zh: 首}, sources: {encoder: 1}, rules: {min_rating: null}}"
    policy = loaded(f"campaigns: [{campaign}]\nscenes: {{home: {scene}}}")

    again = from_canonical(canonical(policy))

    assert again == policy
    assert again.version == policy.version
    assert again.scene_rules == policy.scene_rules
    assert again.scene_rules["home"].settings.min_rating is None


# Mistakes


def test_every_mistake_of_every_file_is_told_at_once_with_its_line() -> None:
    told = refused(
        """\
        scenes:
          home:
            title: {en: Home}
            sorces: {encoder: 10}
            sources: {encoder: 0, enocder: 5}
            needs: item
        rules:
          category_share: 1.5
          age_limits: maybe
        """,
        more="campaigns:\n- id: x\n  from: tomorrow\n  to: 2026-11-11\n",
    )

    assert told == [
        "more.yaml:3: campaigns[0].from is 'tomorrow'; expected a day such as 2026-11-11, or an "
        "instant such as 2026-11-11T20:00:00+08:00",
        "policy.yaml:3: scenes.home.title.zh is missing: add it; expected text of 1 to 300 "
        "characters",
        "policy.yaml:4: scenes.home has no 'sorces': did you mean sources? It may hold channel, "
        "diversity, explore, fallback, length, needs, rules, sources, title, weights",
        "policy.yaml:5: scenes.home.sources.encoder is '0'; expected a whole number from 1 to 250",
        "policy.yaml:5: scenes.home.sources has no 'enocder': did you mean encoder? It may hold "
        "also_viewed, arrivals, bought_together, category, complements, content, covisit, "
        "encoder, popular, repurchase, revisit, similar",
        "policy.yaml:6: scenes.home.needs is 'item'; expected one of category, items, none; did "
        "you mean items?",
        "policy.yaml:8: rules.category_share is '1.5'; expected a number above 0, at most 1",
        "policy.yaml:9: rules.age_limits is 'maybe'; expected true or false",
    ]


def test_the_same_mistakes_in_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_LANG", "zh")

    assert refused("rules: {category_shar: 0.3, seen_share: 0}")[1:] == [
        "policy.yaml:1: rules.seen_share 是 '0'；应为数字，大于 0，不超过 1"
    ]


SCENE = "title: {en: A, zh: 甲}"
DAYS = "from: 2026-11-01, to: 2026-11-11"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (f"scenes:\n  home: {{{SCENE}, sources: {{}}}}", 2, "sources is empty"),
        (f"scenes:\n  home: {{{SCENE}}}", 2, "scenes.home.sources is missing"),
        (
            f"scenes:\n  home: {{{SCENE}, sources: {{encoder: 9}},\n    weights: {{popular: 1}}}}",
            3,
            "weighs popular, which scenes.home.sources does not name",
        ),
        (
            f"scenes:\n  home: {{{SCENE}, sources: {{encoder: 200, popular: 51}}}}",
            2,
            "251 items together; at most 250",
        ),
        (
            f"scenes:\n  home: {{{SCENE}, sources: {{encoder: 9}},\n   length: {{most: 5}}}}",
            3,
            "length.default is 10, more than most, 5",
        ),
        (
            f"scenes:\n  home: {{{SCENE}, sources: {{encoder: 9}}, length: {{most: 101}}}}",
            2,
            "length.most is '101'; expected a whole number from 1 to 100",
        ),
        (
            f"scenes:\n  home: {{{SCENE}, sources: {{encoder: 9}},\n"
            "   length: {default: 3, most: 4}, explore: {places: 5}}",
            3,
            "explore.places is 5, but a list has at most 4",
        ),
        (
            f"scenes:\n  home: {{{SCENE}, sources: {{encoder: 9}},\n"
            "   fallback: [popular, popular]}",
            3,
            "fallback[1]: popular stands here twice",
        ),
        (f"scenes:\n  other: {{{SCENE}, sources: {{encoder: 9}}}}", 1, "scenes has no home"),
        (HOME + f"  \nscenes:\n  home: {{{SCENE}}}", 3, "scenes stands here a second time, after"),
        (f"scenes:\n  Home: {{{SCENE}, sources: {{encoder: 9}}}}", 2, "name of small letters"),
        ("scenes: [home]", 1, "scenes is a list; expected `name: value` lines"),
        ("rules:\n  seen_share: .nan", 2, "is '.nan'; expected a number above 0"),
        ("rules:\n  seen_share: nan", 2, "is 'nan'; expected a number above 0"),
        ("rules:\n  never_purchased: 'true'", 2, "expected true or false"),
        ("rules:\n  banned: sku-1", 2, "is 'sku-1'; expected a list, such as [a, b]"),
        ("rules:\n  banned: [[a]]", 2, "rules.banned[0] is a list; expected text"),
        ("rules:\n  banned:\n  - ''", 3, "rules.banned[0] is ''; expected text"),
        ("rules:\n  min_rating: 5.5", 2, "expected a number from 0 to 5, or null"),
        (
            "rules:\n frequency_caps:\n - {channel: push, at_most: 1, window_hours: 24}\n"
            " - {channel: push, at_most: 2, window_hours: 24}",
            4,
            "a second cap of push for 24 hours",
        ),
        ("campaigns: {id: x}", 1, "campaigns is a table; expected a list"),
        (f"campaigns:\n- {{id: x, {DAYS}}}", 2, "neither pins nor boosts"),
        (
            "campaigns:\n- id: x\n  from: 2026-11-11\n  to: 2026-11-10\n"
            "  boosts: [{category: a, factor: 2}]",
            4,
            "would end at 2026-11-11 00:00 UTC, not after its beginning at 2026-11-11 00:00 UTC",
        ),
        (
            f"campaigns:\n- {{id: x, {DAYS}, pins: [\n  {{item_id: a, place: 1}},\n"
            "  {item_id: b, place: 1}]}",
            4,
            "b is pinned to place 1, which another pin",
        ),
        (
            f"campaigns:\n- {{id: x, {DAYS}, pins: [\n  {{item_id: a, place: 1}},\n"
            "  {item_id: a, place: 2}]}",
            4,
            "a is pinned twice",
        ),
        (
            f"campaigns:\n- {{id: x, {DAYS}, pins: [{{item_id: a, place: 0}}]}}",
            2,
            "pins[0].place is '0'; expected a whole number from 1 to 100",
        ),
        (
            f"campaigns:\n- {{id: x, {DAYS}, boosts: [{{factor: 2}}]}}",
            2,
            "must name either item_id or category",
        ),
        (
            f"campaigns:\n- {{id: x, {DAYS}, boosts: [{{factor: 2, item_id: a, category: b}}]}}",
            2,
            "must name either item_id or category",
        ),
        (
            f"campaigns:\n- {{id: x, {DAYS}, boosts: [{{factor: -1, item_id: a}}]}}",
            2,
            "factor is '-1'; expected a number from 0.01 to 100",
        ),
        (
            f"campaigns:\n- {{id: x, {DAYS}, scenes: [hme],\n"
            "   boosts: [{factor: 2, item_id: a}]}",
            2,
            "names 'hme', and there is no such scene: did you mean home?",
        ),
        (
            f"campaigns:\n- {{id: x, {DAYS}, boosts: [{{factor: 2, item_id: a}}],\n"
            "   audience: {tags: [dormnt]}}",
            3,
            "names 'dormnt', and there is no such tag: did you mean dormant?",
        ),
        (
            f"campaigns:\n- {{id: x, {DAYS}, boosts: [{{factor: 2, item_id: a}}],\n"
            "   audience: {tags: ['fan_of:']}}",
            3,
            "'fan_of:'",
        ),
        (
            f"campaigns:\n- {{id: x, {DAYS}, boosts: [{{factor: 2, item_id: a}}]}}\n"
            f"- {{id: x, {DAYS}, boosts: [{{factor: 2, item_id: b}}]}}",
            3,
            "campaigns[id=x] stands in policy.yaml:2 already",
        ),
        ("rules:\n  banned: &all [a]\n  banned_categories: *all", 3, "*all is a YAML alias"),
        ("rules:\n  banned: !!set {a}", 2, "is a YAML tag"),
        ("rules: {}\n---\nrules: {}", 2, "a second YAML document"),
        ("rules:\n  banned: [a", 2, "this is not YAML"),
        ("rules: \x07", 1, "not allow"),
        ("rules:\n  ? [a]\n  : b", 2, "cannot be a key"),
        ("just words", 1, "policy.yaml is 'just words'; expected"),
        ("rulez: {}", 1, "has no 'rulez': did you mean rules?"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_to_do(text: str, line: int, said: str) -> None:
    told = refused(text)

    assert any(one.startswith(f"policy.yaml:{line}: ") and said in one for one in told), told


def test_what_stands_in_two_files_is_told() -> None:
    assert refused(HOME + "rules: {}", second=HOME + "rules: {}") == [
        "second.yaml:1: scenes.home stands in policy.yaml:1 already: keep one of them",
        "second.yaml:2: rules stands in policy.yaml:2 already: keep one of them",
    ]


def test_aliases_cannot_make_a_file_grow() -> None:
    lines = ["rules:", "  a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]

    told = refused("\n".join(lines))

    assert sum("is a YAML alias" in one for one in told) == 81


def test_a_file_that_is_too_large_too_deep_or_not_text_is_refused() -> None:
    assert "1.0 MB" in refused("#" * (MAX_BYTES + 1))[0]
    assert "levels inside one another" in refused("rules: " + "[" * 500_000)[0]
    with pytest.raises(PolicyRefused, match=r"bytes.yaml:2: this is not UTF-8"):
        load({"bytes.yaml": b"rules:\n  banned: [\xff]\n"})


def test_of_very_many_mistakes_the_first_are_told() -> None:
    told = refused("rules: {}\n" * 250)

    assert len(told) == 101
    assert told[-1].startswith("policy.yaml:102: 149 more mistakes from here on")


def test_a_refusal_travels_between_processes() -> None:
    with pytest.raises(PolicyRefused) as caught:
        loaded("rulez: {}")

    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems
