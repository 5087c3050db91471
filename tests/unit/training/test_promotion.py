"""What lets a bundle become champion, and what it is told otherwise."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from nearline.errors import PermanentError
from training.promotion import POLICY, Outcome, Policy, Rule, broken, judge, read_policy

COSTS = {"data_age_hours": 1.0, "bundle_p99_ms": 5.0, "bundle_cpu_ms": 2.0, "bundle_size_mb": 3.0}


def check(
    policy: Policy, figures: dict[str, float], champion: dict[str, float] | None
) -> list[str]:
    return broken(judge(policy, figures, champion))


@pytest.mark.parametrize(
    ("rule", "value", "champion", "reason"),
    [
        (Rule("auc", at_least=0.6), 0.6, None, None),
        (Rule("auc", at_least=0.6), 0.59, None, "auc is 0.59, at least 0.6 is asked"),
        (Rule("ece", at_most=0.1), 0.2, None, "ece is 0.2, at most 0.1 is allowed"),
        (Rule("auc", may_fall_by=0.2), 0.41, 0.5, None),
        (Rule("auc", may_fall_by=0.2), 0.39, 0.5, "the champion has 0.5 and at most 20% may be l"),
        (Rule("auc", may_fall_by=0.2), 0.39, None, None),  # nothing to lose yet
        (Rule("ms", may_rise_by=1.0), 7.9, 4.0, None),
        (Rule("ms", may_rise_by=1.0), 8.1, 4.0, "the champion has 4 and at most 100% may be added"),
        (Rule("auc", at_least=0.1), None, None, None),  # not measured, not asked
        (Rule("auc", required=True), None, None, "auc was not measured"),
        (Rule("auc", at_least=0.1), math.nan, None, "auc is not a number"),
    ],
)
def test_each_rule(
    rule: Rule, value: float | None, champion: float | None, reason: str | None
) -> None:
    own = {} if value is None else {rule.metric: value}
    held = None if champion is None else {rule.metric: champion}

    reasons = check(Policy([rule]), own, held)

    assert (reason is None) == (reasons == [])
    assert reason is None or reason in reasons[0]


def test_a_figure_can_be_held_against_another_of_the_same_bundle() -> None:
    policy = Policy([Rule("encoder", no_worse_than="popularity")])

    assert check(policy, {"encoder": 0.2, "popularity": 0.1}, None) == []
    assert check(policy, {"encoder": 0.1, "popularity": 0.2}, None) == [
        "encoder is 0.1, below popularity with 0.2"
    ]


def test_every_segment_must_reach_a_share_of_the_whole() -> None:
    policy = Policy([Rule("rank_segment_*", no_worse_than="rank_all", share=0.5)])
    figures = {"rank_all": 0.4, "rank_segment_new": 0.19, "rank_segment_returning": 0.45}

    verdicts = judge(policy, figures, None)

    assert [(one.figure, one.outcome) for one in verdicts] == [
        ("rank_segment_new", Outcome.BROKEN),
        ("rank_segment_returning", Outcome.HOLDS),
    ]
    assert broken(verdicts) == ["rank_segment_new is 0.19, below 50% of rank_all with 0.4"]


def test_a_verdict_shows_value_bound_and_champion_and_what_was_not_asked() -> None:
    policy = Policy([Rule("auc", at_least=0.5, may_fall_by=0.1), Rule("ece", at_most=0.1)])

    verdicts = judge(policy, {"auc": 0.6}, {"auc": 0.61})

    assert [(one.bound, one.value, one.champion, one.outcome.value) for one in verdicts] == [
        ("at least 0.5", 0.6, 0.61, "holds"),
        ("at most 10% lost", 0.6, 0.61, "holds"),
        ("at most 0.1", None, None, "not asked"),
    ]
    alone = judge(policy, {"auc": 0.6}, None)
    assert alone[1].outcome is Outcome.NOT_ASKED


def test_every_broken_rule_is_named() -> None:
    policy = Policy([Rule("a", at_least=1), Rule("b", at_least=1), Rule("c", at_least=1)])

    assert len(check(policy, {"a": 0.0, "b": 2.0, "c": 0.0}, None)) == 2


def test_the_policy_that_ships_reads_and_asks_for_encoder_freshness_and_cost() -> None:
    policy = read_policy(POLICY)

    assert check(policy, {}, None) == [
        "encoder_ndcg_at_10 was not measured",
        "data_age_hours was not measured",
        "bundle_p99_ms was not measured",
    ]
    good = {"encoder_ndcg_at_10": 0.2, "churn_14d_ece": 0.02, "churn_14d_auc": 0.8} | COSTS
    assert check(policy, good, good) == []
    assert check(policy, good | {"churn_14d_recency_auc": 0.5}, good) == []  # a bar, not a model
    for name, value in {
        "churn_14d_ece": 0.2,
        "churn_14d_auc": 0.5,
        "data_age_hours": 49.0,
        "bundle_cpu_ms": 9.0,
        "bundle_size_mb": 16.0,
    }.items():
        (reason,) = check(policy, good | {name: value}, good)
        assert reason.startswith(name)


def test_a_mistake_in_a_policy_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("rules: [{metric: auc, at_lest: 0.5}]\n")

    with pytest.raises(PermanentError, match="at_lest"):
        read_policy(path)
    with pytest.raises(PermanentError, match="--policy"):
        read_policy(tmp_path / "absent.yaml")
