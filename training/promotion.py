"""Whether a bundle may become champion: rules from a file, decided here. Pure but for reading it.

The file is `mlflow/policies/promotion.yaml`. Figures that a bundle does not have (a churn
model that was left out) are not asked of it, unless the rule says `required: true`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from nearline.errors import PermanentError
from training.shipped import shipped

POLICY = shipped("policies/promotion.yaml")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one figure must be, or each figure whose name fits a pattern with `*`.

    Bounds: `at_least` and `at_most` are absolute. `no_worse_than` names another figure of the
    same bundle, of which `share` must be reached (1: all of it). `may_fall_by` and
    `may_rise_by` are shares of the champion's figure, such as 0.2.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    no_worse_than: str | None = None
    share: float = 1.0
    may_fall_by: float | None = None
    may_rise_by: float | None = None
    required: bool = False


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All rules; every one must hold."""

    rules: list[Rule]


class Outcome(StrEnum):
    """What became of a rule."""

    HOLDS = "holds"
    BROKEN = "broken"
    NOT_ASKED = "not asked"  # the figure was not measured, or there is nothing to compare with


class Verdict(msgspec.Struct, frozen=True):
    """One bound of one rule, held against one figure. `reason` is a sentence where it is broken."""

    figure: str
    bound: str  # in words, such as "at most 0.12"
    outcome: Outcome
    value: float | None = None
    champion: float | None = None
    reason: str = ""


class PromotionRefused(PermanentError):
    """A bundle that does not become champion; `reasons` says each rule that it broke."""

    def __init__(self, version: str, reasons: list[str]) -> None:
        self.version, self.reasons = version, reasons
        super().__init__(
            f"version {version} is not promoted: {'; '.join(reasons)}. The champion stays. "
            "Train on more history, or change mlflow/policies/promotion.yaml and say why there."
        )


def read_policy(path: Path) -> Policy:
    """The rules of a file; raises PermanentError with the place of a mistake."""
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=Policy)
    except FileNotFoundError:
        raise PermanentError(
            f"there is no promotion policy at {path}: name one with --policy"
        ) from None
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise PermanentError(
            f"the promotion policy {path} cannot be read: {error}. mlflow/policies/promotion.yaml "
            "is one to begin with"
        ) from error


def judge(
    policy: Policy, figures: Mapping[str, float], champion: Mapping[str, float] | None
) -> list[Verdict]:
    """Every bound of every rule with its outcome, in the order of the policy.

    `champion` is None while there is none: nothing is compared then.
    """
    return [
        verdict
        for rule in policy.rules
        for name in _named(rule.metric, figures)
        for verdict in _verdicts(rule, name, figures, champion or {})
    ]


def broken(verdicts: Sequence[Verdict]) -> list[str]:
    """Why a bundle may not be champion, one sentence a bound; [] when it may."""
    return [verdict.reason for verdict in verdicts if verdict.outcome is Outcome.BROKEN]


def _named(pattern: str, figures: Mapping[str, float]) -> list[str]:
    if "*" not in pattern:
        return [pattern]
    return sorted(name for name in figures if fnmatchcase(name, pattern)) or [pattern]


def _verdicts(
    rule: Rule, name: str, figures: Mapping[str, float], champion: Mapping[str, float]
) -> Iterator[Verdict]:
    value, held = figures.get(name), champion.get(name)

    def told(bound: str, reason: str | None, *, asked: bool = True) -> Verdict:
        outcome = Outcome.BROKEN if reason else Outcome.HOLDS if asked else Outcome.NOT_ASKED
        return Verdict(name, bound, outcome, value, held, reason or "")

    if value is None:
        missed = f"{name} was not measured" if rule.required else None
        yield told("measured" if rule.required else _bounds(rule), missed, asked=False)
        return
    if math.isnan(value):
        yield told("a number", f"{name} is not a number")
        return
    if rule.at_least is not None:
        low = value < rule.at_least
        why = f"{name} is {value:.4g}, at least {rule.at_least:g} is asked"
        yield told(f"at least {rule.at_least:g}", why if low else None)
    if rule.at_most is not None:
        high = value > rule.at_most
        why = f"{name} is {value:.4g}, at most {rule.at_most:g} is allowed"
        yield told(f"at most {rule.at_most:g}", why if high else None)
    if rule.no_worse_than is not None:
        other = figures.get(rule.no_worse_than)
        of = (
            rule.no_worse_than if rule.share == 1.0 else f"{rule.share:.0%} of {rule.no_worse_than}"
        )
        low = other is not None and value < other * rule.share
        why = f"{name} is {value:.4g}, below {of} with {other or 0.0:.4g}"
        yield told(f"no less than {of}", why if low else None, asked=other is not None)
    for share, sign, word in ((rule.may_fall_by, -1, "lost"), (rule.may_rise_by, 1, "added")):
        if share is None:
            continue
        worse = held is not None and sign * (value - held * (1.0 + sign * share)) > 0
        why = (
            f"{name} is {value:.4g}, the champion has {held or 0.0:.4g} and at most {share:.0%} "
            f"may be {word}"
        )
        yield told(f"at most {share:.0%} {word}", why if worse else None, asked=held is not None)


def _bounds(rule: Rule) -> str:
    """A rule whose figure is missing, in words."""
    parts = [
        f"at least {rule.at_least:g}" if rule.at_least is not None else "",
        f"at most {rule.at_most:g}" if rule.at_most is not None else "",
        f"no less than {rule.no_worse_than}" if rule.no_worse_than else "",
        f"at most {rule.may_fall_by:.0%} lost" if rule.may_fall_by is not None else "",
        f"at most {rule.may_rise_by:.0%} added" if rule.may_rise_by is not None else "",
    ]
    return ", ".join(part for part in parts if part)
