"""Whether a bundle may become champion: thresholds from a file, decided here.

The file is `mlflow/policies/promotion.yaml`. Figures that a bundle does not have (a churn
model that was left out) are not asked of it, unless the rule says `required: true`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from nearline.errors import PermanentError

POLICY = Path(__file__).parents[1] / "mlflow" / "policies" / "promotion.yaml"


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one figure must be. Bounds are absolute, `no_worse_than` names another figure."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    no_worse_than: str | None = None
    may_fall_by: float | None = None
    """Share of the champion's figure that may be lost, such as 0.2."""
    required: bool = False


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All rules; every one must hold."""

    rules: list[Rule]


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
            f"there is no promotion policy at {path}: run from a checkout, or name one with "
            "--policy"
        ) from None
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise PermanentError(f"the promotion policy {path} cannot be read: {error}") from error


def check(
    policy: Policy, metrics: Mapping[str, float], champion: Mapping[str, float] | None
) -> list[str]:
    """Why a bundle with these figures may not be champion, one sentence a rule; [] when it may."""
    found = (_broken(rule, metrics, champion or {}) for rule in policy.rules)
    return [reason for reason in found if reason]


def _broken(rule: Rule, metrics: Mapping[str, float], champion: Mapping[str, float]) -> str | None:
    value = metrics.get(rule.metric)
    if value is None:
        return f"{rule.metric} was not measured" if rule.required else None
    if math.isnan(value):
        return f"{rule.metric} is not a number"
    if rule.at_least is not None and value < rule.at_least:
        return f"{rule.metric} is {value:.4g}, at least {rule.at_least:g} is asked"
    if rule.at_most is not None and value > rule.at_most:
        return f"{rule.metric} is {value:.4g}, at most {rule.at_most:g} is allowed"
    other = metrics.get(rule.no_worse_than) if rule.no_worse_than else None
    if other is not None and value < other:
        return f"{rule.metric} is {value:.4g}, below {rule.no_worse_than} with {other:.4g}"
    held: Any = champion.get(rule.metric) if rule.may_fall_by is not None else None
    if held is not None and value < held * (1.0 - (rule.may_fall_by or 0.0)):
        return (
            f"{rule.metric} is {value:.4g}, the champion has {held:.4g} and at most "
            f"{rule.may_fall_by:.0%} may be lost"
        )
    return None
