"""Register the tiny bundle: python publish.py HOME SEED [tamper] [challenger]; prints the version.

It becomes champion; or challenger, with a LightGBM ranker that was brought from outside.
`withdraw` takes the challenger's alias away; `forget` removes the version that stands in SEED's
place; `moves` reads versions from standard input, makes each champion and says so. A process of
its own, so that importing MLflow stays out of the tests'.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import tempfile
from pathlib import Path

from nearline import registry
from nearline.contracts.bundle import CHALLENGER, CHAMPION, REGISTERED_MODEL, verify

sys.path.insert(0, str(Path(__file__).parents[3]))


def main(home: Path, seed: int, how: set[str]) -> None:
    from mlflow.exceptions import MlflowException

    if "withdraw" in how:
        client = registry.client(f"sqlite:///{home / 'mlflow.db'}")
        client.delete_registered_model_alias(REGISTERED_MODEL, CHALLENGER)
        sys.stdout.write("withdrawn\n")
        return
    if "forget" in how:
        client = registry.client(f"sqlite:///{home / 'mlflow.db'}")
        client.delete_model_version(REGISTERED_MODEL, str(seed))
        sys.stdout.write("forgotten\n")
        return
    if "moves" in how:
        client = registry.client(f"sqlite:///{home / 'mlflow.db'}")
        for line in sys.stdin:
            client.set_registered_model_alias(REGISTERED_MODEL, CHAMPION, line.strip())
            sys.stdout.write(line)
            sys.stdout.flush()
        return
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
        if "challenger" in how:
            bundle = bring(bundle)
        if "tamper" in how:
            (bundle / "popular.json").write_text("[0]")
        client.log_artifacts(run.info.run_id, str(bundle), "bundle")
    with contextlib.suppress(MlflowException):  # It exists already.
        client.create_registered_model(REGISTERED_MODEL)
    version = client.create_model_version(
        REGISTERED_MODEL, f"{run.info.artifact_uri}/bundle", run.info.run_id
    ).version
    alias = CHALLENGER if "challenger" in how else CHAMPION
    client.set_registered_model_alias(REGISTERED_MODEL, alias, version)
    sys.stdout.write(f"{version}\n")


def bring(bundle: Path) -> Path:
    """The bundle with another ranker, as `nearline models bring` puts it there."""
    from tests.unit.training.bring import made
    from training.bring import parts

    features, trial = ["encoder_score", "item_price_cents", "seen_count"], made.trial()
    parent = parts.Parent("1", bundle, verify(bundle, "1"))
    model = made.lightgbm_of(features, trial.train)
    return parts.with_ranker(parent, model, features, None, trial.exam, "ann", 1, 1).folder


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), set(sys.argv[3:]))
