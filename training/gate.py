"""The gate: a bundle's figures, and what it costs now, held against the policy and the champion."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from nearline import bundle_probe, history
from nearline.bundle_probe import Probe, ProbeFailed
from nearline.contracts.bundle import CHAMPION, BundleRefused
from nearline.transforms.buckets import HOUR_US
from training import promotion
from training.promotion import Outcome, Verdict
from training.tracking import Registry, Version

REPORT = "gate.json"


@dataclass(frozen=True, slots=True)
class Examined:
    """One version before the policy. `champion` is empty where there is none to compare with."""

    version: str
    champion: str
    verdicts: list[Verdict]
    figures: dict[str, float]  # measured just now

    @property
    def reasons(self) -> list[str]:
        """Why it may not be champion; empty when it may."""
        return promotion.broken(self.verdicts)


def examine(registry: Registry, number: str, policy: Path, as_of_us: int) -> Examined:
    """Hold a version against a policy; the verdicts are kept with its run and as tags.

    `as_of_us` is the instant against which its data is old; see `newest_us`. Raises
    PermanentError when there is no such version, BundleRefused when its files are not whole.
    """
    rules = promotion.read_policy(policy)
    wanted, champion = registry.version(number), registry.at(CHAMPION)
    if champion is not None and champion.number == wanted.number:
        champion = None
    with tempfile.TemporaryDirectory(prefix="nearline-gate-") as folder:
        costs, of_champion, failed = _costs(registry, wanted, champion, Path(folder))
    data_to = datetime.fromisoformat(registry.manifest(wanted).data_to)
    age_us = max(0, as_of_us - round(data_to.timestamp() * 1_000_000))
    now = {"data_age_hours": age_us / HOUR_US} | costs
    verdicts = promotion.judge(
        rules,
        dict(wanted.metrics) | now,
        None if champion is None else dict(champion.metrics) | of_champion,
    )
    if failed:
        verdicts.insert(0, failed)
    examined = Examined(wanted.number, champion.number if champion else "", verdicts, now)
    registry.attach(wanted, REPORT, {"policy": rules, **asdict(examined)}, now)
    registry.note(wanted.number, "gate", "refused" if examined.reasons else "passed")
    registry.note(wanted.number, "promotion_refused", "; ".join(examined.reasons))
    return examined


def promote(registry: Registry, number: str, policy: Path, as_of_us: int) -> Version:
    """Make a version champion if the policy allows; raises PromotionRefused otherwise."""
    examined = examine(registry, number, policy, as_of_us)
    if examined.reasons:
        raise promotion.PromotionRefused(examined.version, examined.reasons)
    registry.promote(examined.version)
    return registry.version(examined.version)


def newest_us(root: Path, now_us: int) -> int:
    """When the newest event of a history occurred, or now where there is no history.

    A bundle is old by what it has not seen: recorded logs of other years can be learnt from
    and served, while a shop that runs leaves yesterday's bundle behind by itself.
    """
    files = history.files(root)
    if not files:
        return now_us
    day = max(path.parent for path in files)
    newest = [str(path) for path in files if path.parent == day]
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT max(occurred_at_us) FROM read_parquet(?, hive_partitioning = false)", [newest]
        ).fetchone()
    return min(int(found[0]), now_us) if found and found[0] is not None else now_us


def _costs(
    registry: Registry, wanted: Version, champion: Version | None, folder: Path
) -> tuple[dict[str, float], dict[str, float], Verdict | None]:
    """What the version and the champion cost, side by side; and a verdict if the version fails."""
    own = registry.fetch(wanted.number, folder)
    try:
        if champion is not None:
            beside = registry.fetch(champion.number, folder)
            costs, of_champion = bundle_probe.measure([own, beside])
            return _figures(costs), _figures(of_champion), None
    except (BundleRefused, ProbeFailed):
        pass  # Whether it is the champion that cannot be measured, the version alone will show.
    try:
        return _figures(bundle_probe.measure([own])[0]), {}, None
    except ProbeFailed as error:
        bound = "answers made-up questions"
        return {}, {}, Verdict("bundle", bound, Outcome.BROKEN, reason=str(error))


def _figures(probe: Probe) -> dict[str, float]:
    return {
        "bundle_p99_ms": probe.p99_ms,
        "bundle_cpu_ms": probe.cpu_ms,
        "bundle_size_mb": probe.size_mb,
    }
