"""Groceries: association rules of 9,835 baskets, counted to the last rule."""

from __future__ import annotations

import csv
import gzip
import time
from pathlib import Path

from training.baselines.association import Rule, rules
from training.reproduce.comparison import Check, Comparison, Origin, Place, Row, Watch

FILE = "oracles/groceries.csv.gz"
BASKETS, ITEMS = 9_835, 169
# (support, confidence) -> rules with one consequent, as counted by arules' users.
KNOWN = {
    ("0.001", "0.5"): 5_668,
    ("0.006", "0.25"): 463,
    ("0.01", "0.5"): 15,
    ("0.001", "0.8"): 410,
}
TOP_OF = ("0.001", "0.8")
TOP = {"support": 0.001932, "confidence": 0.9048, "lift": 11.2353}
_MODEL = "association rules, whole numbers"


def baskets(data: Path) -> list[list[str]]:
    """Items by basket; raises ValueError when the file is not the published one."""
    with gzip.open(data / FILE, "rt", newline="", encoding="utf-8") as handle:
        found = list(csv.reader(handle))
    items = {item for basket in found for item in basket}
    if (len(found), len(items)) != (BASKETS, ITEMS):
        raise ValueError(
            f"{FILE} holds {len(found)} baskets of {len(items)} items; {BASKETS} and {ITEMS} are "
            "published: take the file from its source again"
        )
    return found


def run(place: Place, watch: Watch) -> list[Comparison]:
    """Count the rules at the four published pairs of bounds, and look at the highest lift."""
    found = baskets(place.data)
    watch.stage("groceries", len(KNOWN))
    counts: dict[str, float] = {}
    strongest: list[Rule] = []
    started = time.monotonic()
    for bounds in KNOWN:
        listed = rules(found, *bounds)
        strongest = listed if bounds == TOP_OF else strongest
        counts[_name(bounds)] = float(len(listed))
        watch.step(note=f"{len(listed):,} rules")
    seconds = {_MODEL: time.monotonic() - started}
    top = strongest[0]
    published = {_name(bounds): float(known) for bounds, known in KNOWN.items()}
    measured = {"support": top.support, "confidence": top.confidence, "lift": top.lift}
    statistics: dict[str, int | float] = {"baskets": BASKETS, "items": ITEMS}
    return [
        Comparison(
            title="Rules with one consequent",
            protocol="All rules at or above a support and a confidence, both compared as whole "
            "numbers of baskets: as floats, rules at exactly the bound are lost.",
            statistics=statistics,
            metrics=tuple(published),
            rows=(
                Row(_MODEL, Origin.SIMPLE, counts, "baselines.association.rules"),
                Row("known counts", Origin.PUBLISHED, published, "arules data set Groceries"),
            ),
            checks=tuple(Check(_MODEL, name, known, 0.0) for name, known in published.items()),
            seconds=seconds,
        ),
        Comparison(
            title=f"Highest lift: {', '.join(top.given)} → {top.then}",
            protocol="The first rule of those with support 0.001 and confidence 0.8.",
            statistics=statistics,
            metrics=tuple(TOP),
            rows=(
                Row(_MODEL, Origin.SIMPLE, measured),
                Row("{liquor, red/blush wine} → bottled beer", Origin.PUBLISHED, TOP, "arules"),
            ),
            checks=tuple(Check(_MODEL, name, known, 0.001) for name, known in TOP.items()),
        ),
    ]


def _name(bounds: tuple[str, str]) -> str:
    return f"support {bounds[0]}, confidence {bounds[1]}"
