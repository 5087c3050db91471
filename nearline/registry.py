"""The model registry as readers see it: resolve an alias, fetch a bundle, verify it.

Only training writes MLflow. MLflow itself is imported on first use: it takes seconds.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nearline import copies
from nearline.contracts.bundle import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    REGISTERED_MODEL,
    BundleRefused,
    verify,
)
from nearline.errors import StoreUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException


def give_up_soon(silence_limit_s: int = 60) -> None:
    """Ask a registry over HTTP twice from now on, and wait that long each time, in this process.

    For those that have something to go on with, or somebody who waits: MLflow alone asks eight
    times in four minutes before it says that nobody listens, and waits 120 s for each answer.
    Training leaves it at that. A server fetches a file whole before it hands it on, so the limit
    is not short. What an operator has set stands.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(silence_limit_s))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


def client(uri: str) -> MlflowClient:
    """An MLflow client on the given store, for tracking and registry alike.

    Raises StoreUnavailable where its database cannot be opened: damaged, or not to be written.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Its bar for nine small files is noise in a log and on a terminal.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with warnings.catch_warnings():
        # MLflow's tables use a loader that SQLAlchemy is about to drop; nothing for us to do.
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
        import mlflow
        from sqlalchemy.exc import SQLAlchemyError

        # Creating a database says a hundred lines about migrations; none asks for an act.
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        try:
            made = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        except SQLAlchemyError as error:
            raise StoreUnavailable("MLflow", _address(uri), type(error).__name__) from error
    return made


def resolve(uri: str, alias: str) -> str | None:
    """The version number that an alias points to, None when nothing carries it.

    10 to 20 ms on sqlite: cheap to poll. Raises StoreUnavailable when the registry does
    not answer; over HTTP see `give_up_soon`.
    """
    from mlflow.exceptions import MlflowException

    try:
        return str(client(uri).get_model_version_by_alias(REGISTERED_MODEL, alias).version)
    except MlflowException as error:
        # An alias that points nowhere is INVALID_PARAMETER_VALUE on SQL stores.
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise unavailable(uri, error) from error


def download(uri: str, version: str, to: Path) -> Path:
    """The verified local copy of a version, `to/<version>`; fetched once, then reused.

    A copy appears whole or not at all, and stays while this process may load it (see `copies`);
    fetching one removes old ones that no alias names. Raises BundleRefused when the files do
    not match their manifest, StoreUnavailable when the registry or the artifacts cannot be
    reached.
    """
    kept = to / version
    if copies.hold(kept):
        try:
            verify(kept, version)
        except BundleRefused:
            # A damaged copy: fetch it again. Whoever else holds it has read it long ago.
            if not copies.remove(kept):
                shutil.rmtree(kept, ignore_errors=True)
        else:
            return kept
    import mlflow
    from mlflow.exceptions import MlflowException

    aside = to / f".{version}.{secrets.token_hex(4)}.tmp"
    aside.mkdir(parents=True)
    try:
        source = client(uri).get_model_version_download_uri(REGISTERED_MODEL, version)
        fetched = Path(
            mlflow.artifacts.download_artifacts(
                artifact_uri=source, dst_path=str(aside), tracking_uri=uri
            )
        )
        verify(fetched, version)
        _put(fetched, kept)
    except MlflowException as error:
        raise unavailable(uri, error) from error
    except OSError as error:
        raise StoreUnavailable("artifact store", _address(uri), type(error).__name__) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    copies.hold(kept)
    named = {resolve(uri, alias) for alias in (CHAMPION, CHALLENGER, PREVIOUS)}
    copies.prune(to, {version, *(one for one in named if one)})
    return kept


def unavailable(uri: str, error: MlflowException) -> StoreUnavailable:
    """What to raise when the registry does not answer; its address without a password."""
    return StoreUnavailable("MLflow", _address(uri), str(error.error_code))


def _put(fetched: Path, kept: Path) -> None:
    try:
        fetched.rename(kept)
    except OSError:
        # Another process was quicker; its copy is verified as well.
        if not kept.is_dir():
            raise


def _address(uri: str) -> str:
    """The store's address without a user and a password."""
    parts = urlsplit(uri)
    return uri.replace(f"{parts.netloc.rpartition('@')[0]}@", "") if "@" in parts.netloc else uri
