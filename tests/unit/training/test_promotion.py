"""What lets a bundle become champion, and what it is told otherwise."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from nearline.errors import PermanentError
from training.promotion import POLICY, Policy, Rule, check, read_policy


@pytest.mark.parametrize(
    ("rule", "value", "champion", "reason"),
    [
        (Rule("auc", at_least=0.6), 0.6, None, None),
        (Rule("auc", at_least=0.6), 0.59, None, "auc is 0.59, at least 0.6 is asked"),
        (Rule("ece", at_most=0.1), 0.2, None, "ece is 0.2, at most 0.1 is allowed"),
        (Rule("auc", may_fall_by=0.2), 0.41, 0.5, None),
        (Rule("auc", may_fall_by=0.2), 0.39, 0.5, "the champion has 0.5 and at most 20%"),
        (Rule("auc", may_fall_by=0.2), 0.39, None, None),  # nothing to lose yet
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


def test_every_broken_rule_is_named() -> None:
    policy = Policy([Rule("a", at_least=1), Rule("b", at_least=1), Rule("c", at_least=1)])

    assert len(check(policy, {"a": 0.0, "b": 2.0, "c": 0.0}, None)) == 2


def test_the_policy_that_ships_reads_and_asks_for_the_encoder() -> None:
    assert check(read_policy(POLICY), {}, None) == ["encoder_ndcg_at_10 was not measured"]


def test_a_mistake_in_a_policy_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("rules: [{metric: auc, at_lest: 0.5}]\n")

    with pytest.raises(PermanentError, match="at_lest"):
        read_policy(path)
    with pytest.raises(PermanentError, match="--policy"):
        read_policy(tmp_path / "absent.yaml")
