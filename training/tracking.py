"""The only writer of MLflow: a finished run with its bundle, and the aliases."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from nearline import registry
from nearline.contracts.bundle import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    REGISTERED_MODEL,
    Manifest,
)
from nearline.errors import PermanentError
from training.journal import Journal

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "nearline"
_FOLDER = "bundle"


@dataclass(frozen=True, slots=True)
class Version:
    """One registered bundle with the figures of its run."""

    number: str
    created_at_ms: int
    aliases: tuple[str, ...]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    parameters: Mapping[str, str]


class Registry:
    """MLflow's tracking and registry, as training uses them."""

    def __init__(self, uri: str, artifacts: Path) -> None:
        self._uri, self._artifacts = uri, artifacts
        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self._client: MlflowClient = registry.client(uri)

    def register(
        self,
        bundle: Path,
        manifest: Manifest,
        parameters: Mapping[str, str],
        journal: Journal,
        tags: Mapping[str, str],
    ) -> str:
        """Log a finished run with its bundle, register it as challenger; return its version."""
        run = self._client.create_run(
            self._experiment(),
            run_name=f"{parameters['name']} {manifest.created_at}",
            tags=dict(tags),
        )
        run_id = run.info.run_id
        try:
            self._log(run_id, manifest, parameters, journal)
            self._client.log_artifacts(run_id, str(bundle), _FOLDER)
        except BaseException:
            self._client.set_terminated(run_id, "FAILED")
            raise
        self._client.set_terminated(run_id)
        self._ensure_model()
        made = self._client.create_model_version(
            REGISTERED_MODEL,
            source=f"{run.info.artifact_uri}/{_FOLDER}",
            run_id=run_id,
            tags={"features_hash": manifest.features_hash, "code_version": manifest.code_version},
        )
        self._client.set_registered_model_alias(REGISTERED_MODEL, CHALLENGER, made.version)
        return str(made.version)

    def versions(self) -> list[Version]:
        """Every registered bundle, newest first."""
        self._ensure_model()
        found = self._client.search_model_versions(f"name = '{REGISTERED_MODEL}'")
        numbers = sorted((int(one.version) for one in found), reverse=True)
        return [self.version(str(number)) for number in numbers]

    def version(self, number: str) -> Version:
        """One registered bundle; raises PermanentError when there is no such version."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_model_version(REGISTERED_MODEL, number)
        except MlflowException as error:
            raise PermanentError(
                f"there is no version {number[:20]!r} of the bundle: `nearline models list` shows "
                "which there are"
            ) from error
        run = self._client.get_run(str(found.run_id))
        return Version(
            number=str(found.version),
            created_at_ms=int(found.creation_timestamp),
            aliases=tuple(sorted(found.aliases)),
            metrics=dict(run.data.metrics),
            tags=dict(found.tags),
            parameters=dict(run.data.params),
        )

    def at(self, alias: str) -> Version | None:
        """The bundle under an alias, None when nothing carries it."""
        number = registry.resolve(self._uri, alias)
        return self.version(number) if number else None

    def promote(self, number: str) -> None:
        """Make a version champion; the champion until now becomes previous.

        `previous` moves first: should this stop in between, the champion still stands.
        """
        champion = registry.resolve(self._uri, CHAMPION)
        if champion == number:
            return
        if champion:
            self._client.set_registered_model_alias(REGISTERED_MODEL, PREVIOUS, champion)
        self._client.set_registered_model_alias(REGISTERED_MODEL, CHAMPION, number)
        if registry.resolve(self._uri, CHALLENGER) == number:
            self._client.delete_registered_model_alias(REGISTERED_MODEL, CHALLENGER)

    def note(self, number: str, key: str, value: str) -> None:
        """Write a tag on a version, such as why it was refused."""
        self._client.set_model_version_tag(REGISTERED_MODEL, number, key, value)

    def _log(
        self, run_id: str, manifest: Manifest, parameters: Mapping[str, str], journal: Journal
    ) -> None:
        from mlflow.entities import Metric, Param

        now_ms = int(time.time() * 1_000)
        params = dict(parameters) | {
            "data_from": manifest.data_from,
            "data_to": manifest.data_to,
            "items": str(manifest.items),
            "features_hash": manifest.features_hash,
        }
        metrics = [Metric(name, value, now_ms, 0) for name, value in manifest.metrics.items()]
        for figures in journal.curve:
            epoch = int(figures["epoch"])
            metrics += [
                Metric(f"epoch_{name}", value, now_ms, epoch)
                for name, value in figures.items()
                if name != "epoch" and isfinite(value)
            ]
        for start in range(0, len(metrics), 500):
            self._client.log_batch(run_id, metrics=metrics[start : start + 500])
        self._client.log_batch(run_id, params=[Param(*pair) for pair in params.items()])
        features = {
            "customer": manifest.customer_features,
            "item": manifest.item_features,
            "ranker": manifest.ranker_features,
        }
        self._client.log_dict(run_id, features, "features.json")

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        return str(
            self._client.create_experiment(EXPERIMENT, artifact_location=self._artifacts.as_uri())
        )

    def _ensure_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(
                REGISTERED_MODEL, description="Nearline bundles: everything that serving loads."
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


__all__ = ["Registry", "Version"]
