"""Register the tiny bundle as champion: python publish.py HOME SEED [tamper]; prints the version.

A process of its own, so that importing MLflow stays out of the tests'.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import tempfile
from pathlib import Path

from nearline import registry
from nearline.contracts.bundle import CHAMPION, REGISTERED_MODEL


def main(home: Path, seed: int, tamper: bool) -> None:
    from mlflow.exceptions import MlflowException

    path = Path(__file__).parents[2] / "unit" / "serving" / "tiny.py"
    spec = importlib.util.spec_from_file_location("tiny", path)
    assert spec is not None
    assert spec.loader is not None
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)

    client = registry.client(f"sqlite:///{home / 'mlflow.db'}")
    known = client.get_experiment_by_name("tiny")
    experiment_id = known.experiment_id if known else None
    if experiment_id is None:
        location = str(home / "mlflow_artifacts")
        experiment_id = client.create_experiment("tiny", artifact_location=location)
    run = client.create_run(experiment_id)
    with tempfile.TemporaryDirectory() as folder:
        bundle = tiny.write(Path(folder) / "bundle", seed=seed)
        if tamper:
            (bundle / "popular.json").write_text("[0]")
        client.log_artifacts(run.info.run_id, str(bundle), "bundle")
    with contextlib.suppress(MlflowException):  # It exists already.
        client.create_registered_model(REGISTERED_MODEL)
    version = client.create_model_version(
        REGISTERED_MODEL, f"{run.info.artifact_uri}/bundle", run.info.run_id
    ).version
    client.set_registered_model_alias(REGISTERED_MODEL, CHAMPION, version)
    sys.stdout.write(f"{version}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), "tamper" in sys.argv[3:])
