"""Two registered bundles side by side: figures, where they come from, what they see. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from nearline.contracts.bundle import Manifest
from training.tracking import Version, lineage_of

_LOWER = re.compile(r"(ece|brier|loss|mae|rmse|_ms|_mb|_hours)$")
_HIGHER = re.compile(r"(ndcg|recall|hit|precision|auc|_ap$|mrr|lead|coverage|diversity|novelty)")
_NEITHER = re.compile(r"(questions|base_rate|rows|customers|_at_alert_rate$)")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of two bundles; None where a bundle has none. `better` is a, b or empty."""

    name: str
    a: float | None
    b: float | None
    better: str = ""

    @property
    def difference(self) -> float | None:
        """The second less the first."""
        return None if self.a is None or self.b is None else self.b - self.a


@dataclass(frozen=True, slots=True)
class Side:
    """One of two bundles."""

    version: Version
    manifest: Manifest


def figures(a: Mapping[str, float], b: Mapping[str, float]) -> list[Figure]:
    """Every figure that either has, by name; curves by epoch are left out."""
    names = sorted(name for name in {*a, *b} if not name.startswith("epoch_"))
    return [Figure(name, a.get(name), b.get(name), _better(name, a, b)) for name in names]


def direction(name: str) -> int:
    """1 where more is better, -1 where less is, 0 where neither is."""
    if _NEITHER.search(name):
        return 0
    if _LOWER.search(name):
        return -1
    return 1 if _HIGHER.search(name) else 0


def origins(a: Side, b: Side) -> list[tuple[str, str, str]]:
    """(what, a's, b's) of everything in which their origins and their forms differ."""
    left, right = _origin(a), _origin(b)
    return [
        (name, left.get(name, "-"), right.get(name, "-"))
        for name in dict.fromkeys([*left, *right])
        if left.get(name, "-") != right.get(name, "-")
    ]


def features(a: Manifest, b: Manifest) -> dict[str, tuple[list[str], list[str]]]:
    """By kind, the features that only a sees and those that only b sees."""
    kinds = {
        "customer": (a.customer_features, b.customer_features),
        "item": (a.item_features, b.item_features),
        "ranker's inputs": (
            a.ranker.features if a.ranker else [],
            b.ranker.features if b.ranker else [],
        ),
    }
    found = {
        kind: (sorted({*left} - {*right}), sorted({*right} - {*left}))
        for kind, (left, right) in kinds.items()
    }
    return {kind: only for kind, only in found.items() if any(only)}


def _better(name: str, a: Mapping[str, float], b: Mapping[str, float]) -> str:
    if name not in a or name not in b or math.isclose(a[name], b[name], rel_tol=1e-9):
        return ""
    more = direction(name) * (b[name] - a[name])
    return "b" if more > 0 else "a" if more < 0 else ""


def _origin(side: Side) -> dict[str, str]:
    manifest = side.manifest
    return lineage_of(manifest) | {
        "items": str(manifest.items),
        "ranker": manifest.ranker.format.value if manifest.ranker else "none",
        "index": manifest.index.kind,
        "encoder": f"{manifest.encoder.dimension} dimensions, "
        f"{manifest.encoder.history_length} items back",
        "scores": ", ".join(score.name for score in manifest.scores) or "none",
        **{f"library {name}": version for name, version in sorted(manifest.libraries.items())},
    }


__all__ = ["Figure", "Side", "direction", "features", "figures", "origins"]
