"""The models of a bundle that foretell what customers do: calibrated trees, and lifetime value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from nearline.contracts import bundle as contract
from nearline.contracts.bundle import BundleRefused, Manifest, ScoreSpec, Task
from nearline.rankers import booster, scores_of
from nearline.transforms.buckets import DAY_US
from nearline.transforms.customer import CustomerState
from nearline.transforms.lifetime import LifetimeModel, Summary
from nearline.transforms.score_rows import ROW_FEATURES

# Axes: R rows, F features of a row.
FloatRF = npt.NDArray[np.float32]
FloatR = npt.NDArray[np.float64]
VALUE_WEEKS = 52  # The horizon of a lifetime value.
_ORDER = tuple(Task)


@dataclass(frozen=True, slots=True)
class ScoreModel:
    """Log-odds trees, and the curve that makes their output a probability."""

    name: str
    task: Task
    horizon_days: int
    booster: Any  # xgboost.Booster
    columns: list[int]  # places of its features in a row of its task (`score_rows`)
    calibration_x: tuple[float, ...]  # raw probability, rising
    calibration_y: tuple[float, ...]  # share of whom it came true
    active_days: int = 0  # It speaks only of customers seen within this time; 0: of everybody.

    @property
    def features(self) -> tuple[str, ...]:
        """Its inputs, in its own order."""
        names = ROW_FEATURES[self.task]
        return tuple(names[column] for column in self.columns)

    def speaks_of(self, state: CustomerState, as_of_us: int) -> bool:
        """Whether a customer is one of those it was calibrated on.

        Of any other its number would look like a probability and be none.
        """
        return not self.active_days or as_of_us - state.last_seen_us < self.active_days * DAY_US

    def probabilities(self, rows_RF: FloatRF) -> FloatR:
        """(R,) calibrated, in [0, 1]; linear between the curve's points."""
        raw_R = scores_of(self.booster, np.ascontiguousarray(rows_RF[:, self.columns]))
        calibrated_R = np.interp(raw_R, self.calibration_x, self.calibration_y)
        return np.asarray(np.clip(calibrated_R, 0.0, 1.0), np.float64)

    def contributions(self, rows_RF: FloatRF) -> npt.NDArray[np.float32]:
        """(R, its features) what each adds to the log-odds (TreeSHAP, Lundberg et al. 2018)."""
        import xgboost

        matrix = xgboost.DMatrix(np.ascontiguousarray(rows_RF[:, self.columns]), nthread=1)
        pulls = self.booster.predict(matrix, pred_contribs=True, validate_features=False)
        return np.asarray(pulls[:, :-1], np.float32)  # The last is the base: it explains nobody.


@dataclass(frozen=True, slots=True)
class ScoreModels:
    """All that a bundle foretells of customers.

    `models` stand in the order in which answers tell them. `category_shares` is the popularity
    that rows of demand need.
    """

    models: tuple[ScoreModel, ...] = ()
    lifetime: LifetimeModel | None = None
    category_shares: dict[str, float] = field(default_factory=dict)

    def of(self, *tasks: str) -> tuple[ScoreModel, ...]:
        """The models of some tasks; all of them where none is named."""
        return tuple(model for model in self.models if not tasks or model.task in tasks)


NO_SCORES = ScoreModels()


def read(folder: Path, version: str, manifest: Manifest) -> ScoreModels:
    """The models that a bundle's folder holds; raises BundleRefused, or what a broken file raises.

    Curves, shares and lifetime parameters are read only where something needs them.
    """
    curves: dict[str, dict[str, list[float]]] = {}
    if manifest.scores:
        curves = msgspec.json.decode(
            (folder / contract.CALIBRATION).read_bytes(), type=dict[str, dict[str, list[float]]]
        )
    models = [_model(folder, version, spec, curves[spec.name]) for spec in manifest.scores]
    models.sort(key=lambda model: (_ORDER.index(model.task), model.horizon_days))
    shares: dict[str, float] = {}
    if any(model.task is Task.CATEGORY_DEMAND for model in models):
        shares = msgspec.json.decode(
            (folder / contract.CATEGORY_SHARES).read_bytes(), type=dict[str, float]
        )
    lifetime = None
    if (folder / contract.LIFETIME).is_file():
        kept = msgspec.json.decode(
            (folder / contract.LIFETIME).read_bytes(), type=dict[str, dict[str, float]]
        )
        lifetime = LifetimeModel.of_parameters(kept)
    return ScoreModels(tuple(models), lifetime, shares)


def smoke(version: str, held: ScoreModels) -> None:
    """One row through every model: what cannot do this must not serve."""
    for model in held.models:
        rows = np.full((1, len(ROW_FEATURES[model.task])), np.nan, np.float32)
        if not np.isfinite(model.probabilities(rows)).all():
            raise BundleRefused(version, f"{model.name} scores are not finite")
        if not np.isfinite(model.contributions(rows)).all():
            raise BundleRefused(version, f"the reasons of {model.name} are not finite")
    if held.lifetime is not None:
        one = Summary(*(np.array([weeks]) for weeks in (2.0, 30.0, 40.0)))
        foretold = [held.lifetime.purchases.conditional(one, float(VALUE_WEEKS))]
        if held.lifetime.money is not None:
            foretold.append(held.lifetime.value_cents(one, np.array([1_000.0]), VALUE_WEEKS, 0.0))
        if not np.isfinite(foretold).all():
            raise BundleRefused(version, "its lifetime values are not finite")


def _model(
    folder: Path, version: str, spec: ScoreSpec, curve: dict[str, list[float]]
) -> ScoreModel:
    known = ROW_FEATURES[spec.task]
    if unknown := sorted(set(spec.features) - set(known)):
        raise BundleRefused(
            version, f"{spec.name} needs features that this code does not have: {unknown[:5]}"
        )
    return ScoreModel(
        name=spec.name,
        task=spec.task,
        horizon_days=spec.horizon_days,
        booster=booster(folder / spec.file),
        columns=[known.index(name) for name in spec.features],
        calibration_x=tuple(curve["x"]),
        calibration_y=tuple(curve["y"]),
        active_days=spec.active_days,
    )
