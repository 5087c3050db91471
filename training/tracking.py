"""The only writer of MLflow: a finished run with its bundle, and the aliases."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nearline import registry
from nearline.contracts.bundle import (
    CHALLENGER,
    CHAMPION,
    MANIFEST,
    PREVIOUS,
    REGISTERED_MODEL,
    Lineage,
    Manifest,
)
from nearline.errors import PermanentError
from training import encoder_trial, trial
from training.journal import Journal

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "nearline"
HOME_TAG = "nearline_home"  # Which home folder a run belongs to; see `job.mark_of`.
_FOLDER = "bundle"
REPORT = "report.html"
_TAG_LIMIT = 4_000


@dataclass(frozen=True, slots=True)
class Version:
    """One registered bundle with the figures of its run."""

    number: str
    created_at_ms: int
    aliases: tuple[str, ...]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    run_id: str = ""


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
        """Log a finished run with its bundle and register it; return its version.

        It becomes challenger, unless a bundle with a part from outside is being tried: a
        retraining by night must not end somebody's trial.
        """
        origin = lineage_of(manifest)
        run = self._client.create_run(
            self._experiment(),
            run_name=f"{parameters['name']} {manifest.created_at}",
            tags=origin | dict(tags),
        )
        run_id = run.info.run_id
        try:
            self._log(run_id, manifest, parameters, journal)
            self._log_data(run_id, manifest)
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
            tags=origin,
        )
        tried = self.at(CHALLENGER)
        if manifest.lineage.brought_by or tried is None or not tried.tags.get("brought_by"):
            self._client.set_registered_model_alias(REGISTERED_MODEL, CHALLENGER, made.version)
        return str(made.version)

    def versions(self) -> list[Version]:
        """Every registered bundle, newest first; writes nothing."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.search_model_versions(f"name = '{REGISTERED_MODEL}'")
        except MlflowException as error:
            raise registry.unavailable(self._uri, error) from error
        numbers = sorted((int(one.version) for one in found), reverse=True)
        return [self.version(str(number)) for number in numbers]

    def version(self, number: str) -> Version:
        """One registered bundle; raises PermanentError when there is no such version."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_model_version(REGISTERED_MODEL, number)
        except MlflowException as error:
            if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                raise registry.unavailable(self._uri, error) from error
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
            run_id=str(found.run_id),
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

    def withdraw(self, alias: str) -> None:
        """Take an alias away; whoever serves under it stops within seconds."""
        self._client.delete_registered_model_alias(REGISTERED_MODEL, alias)

    def note(self, number: str, key: str, value: str) -> None:
        """Write a tag on a version, such as why it was refused; an empty value removes it."""
        if value:
            self._client.set_model_version_tag(REGISTERED_MODEL, number, key, value[:_TAG_LIMIT])
        elif key in self._client.get_model_version(REGISTERED_MODEL, number).tags:
            self._client.delete_model_version_tag(REGISTERED_MODEL, number, key)

    def attach(
        self, version: Version, name: str, content: object, figures: Mapping[str, float]
    ) -> None:
        """Add a JSON file and figures to a version's run, in place of any before."""
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1_000)
        rows = [Metric(key, value, now_ms, 0) for key, value in figures.items()]
        self._client.log_batch(version.run_id, metrics=rows)
        text = msgspec.json.format(msgspec.json.encode(content), indent=2).decode()
        self._client.log_text(version.run_id, text, name)

    def fetch(self, number: str, to: Path) -> Path:
        """The verified bundle of a version under a folder; raises BundleRefused."""
        return registry.download(self._uri, number, to)

    def manifest(self, version: Version) -> Manifest:
        """What a version says of itself; raises PermanentError where this code cannot read it."""
        with tempfile.TemporaryDirectory() as folder:
            path = self._fetched(version, f"{_FOLDER}/{MANIFEST}", Path(folder))
            try:
                return msgspec.json.decode(path.read_bytes(), type=Manifest)
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                raise PermanentError(
                    f"the manifest of version {version.number} is not of a form that this code "
                    f"reads ({error}): train again with `nearline train`"
                ) from error

    def lineage(self, version: Version) -> Lineage:
        """Where a version comes from; empty where this code cannot read what it says of itself.

        So whoever trains after an upgrade is not kept from it by the champion of older code.
        """
        try:
            return self.manifest(version).lineage
        except PermanentError:
            return Lineage()

    def trial(self, version: Version) -> trial.Trial:
        """The lessons and the test of a version's ranker; raises PermanentError without any."""
        with tempfile.TemporaryDirectory() as folder:
            return trial.load(self._fetched(version, trial.FOLDER, Path(folder)))

    def encoder_trial(self, version: Version) -> encoder_trial.EncoderTrial:
        """The test that a version's encoder sat; raises PermanentError without any."""
        path = f"{trial.FOLDER}/{encoder_trial.FILE}"
        with tempfile.TemporaryDirectory() as folder:
            return encoder_trial.load(self._fetched(version, path, Path(folder)).parent)

    def report(self, version: Version) -> str:
        """The HTML report of a version's run; raises PermanentError when it has none."""
        with tempfile.TemporaryDirectory() as folder:
            return self._fetched(version, REPORT, Path(folder)).read_text(encoding="utf-8")

    def _fetched(self, version: Version, path: str, to: Path) -> Path:
        from mlflow.exceptions import MlflowException

        held = {one.path for one in self._client.list_artifacts(version.run_id)}
        if path.partition("/")[0] not in held:
            if version.tags.get("brought_by"):
                raise PermanentError(
                    f"version {version.number} keeps no {path!r}: a part of it was brought, and "
                    "what was brought is judged without a training. `nearline models show "
                    f"{version.number}` has its figures, and the version that it came from"
                )
            raise PermanentError(
                f"version {version.number} keeps no {path!r} with its run: it was registered by "
                "older code, or its ranker was left out. Train again with `nearline train`"
            )
        try:
            return Path(self._client.download_artifacts(version.run_id, path, str(to)))
        except (MlflowException, OSError) as error:
            raise PermanentError(
                f"{path!r} of version {version.number} cannot be fetched ({type(error).__name__})"
            ) from error

    def close_abandoned(self, home: str) -> int:
        """End the runs of a home that was killed while it logged them; return how many.

        Only for whoever knows that none of that home's is alive.
        """
        open_runs = self._client.search_runs(
            [self._experiment()],
            f"attributes.status = 'RUNNING' and tags.{HOME_TAG} = '{home}'",
        )
        for run in open_runs:
            self._client.set_terminated(run.info.run_id, "KILLED")
        return len(open_runs)

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
        if journal.report_html:
            self._client.log_text(run_id, journal.report_html, REPORT)
        with tempfile.TemporaryDirectory() as folder:
            if journal.trial is not None:
                journal.trial.save(Path(folder) / trial.FOLDER)
            if journal.encoder_trial is not None:
                journal.encoder_trial.save(Path(folder) / trial.FOLDER)
            if (Path(folder) / trial.FOLDER).is_dir():
                self._client.log_artifacts(run_id, folder)

    def _log_data(self, run_id: str, manifest: Manifest) -> None:
        """Name what was learnt from as the run's input data set, by its fingerprint."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        window = {"data_from": manifest.data_from, "data_to": manifest.data_to}
        learnt_from = Dataset(
            name="history",
            digest=manifest.lineage.history_fingerprint[:36] or "unknown",
            source_type="nearline",
            source=json.dumps(window),
            profile=json.dumps({"items": manifest.items}),
        )
        used = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(run_id, [DatasetInput(learnt_from, [used])])

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


def lineage_of(manifest: Manifest) -> dict[str, str]:
    """Where a bundle comes from, as tags; what is not known is left out."""
    lineage = manifest.lineage
    known = {
        "recipe": lineage.recipe,
        "data_from": manifest.data_from,
        "data_to": manifest.data_to,
        "history_fingerprint": lineage.history_fingerprint,
        "features_hash": manifest.features_hash,
        "code_version": manifest.code_version,
        "parent": lineage.parent,
        "brought_by": lineage.brought_by,
    }
    return {name: value for name, value in known.items() if value}


__all__ = ["Registry", "Version", "lineage_of"]
