"""What the answering side needs to know, as values that travel to its replicas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nearline.errors import PermanentError
from nearline.served import checked_share
from nearline.settings import Settings

WRITE_LIMIT_S = 5.0  # Of what is written beside the answers: a store that hangs has failed.


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """Addresses and limits; built once from the settings by a composition root."""

    redis_url: str
    partitions: int
    mlflow_uri: str
    bundles: Path
    """Folder of verified local copies of bundles."""
    policy: Path
    """Folder of scene and rule files; where it is empty, the shipped ones hold."""
    replicas: int = 2
    features_timeout_ms: float = 60.0
    """For one read of a customer's row."""
    deadline_ms: float = 150.0
    """Within this an answer is given, or refused at once."""
    served_sample: float = 0.01
    """Share of answers whose feature vectors are kept."""
    items_every_s: float = 0.25
    """How often the items in memory follow the log."""
    follow_every_s: float = 0.25
    """How often a replica looks which bundles and which policy should answer."""
    watch_every_s: float = 1.0
    """How often the registry is asked which bundles are champion and challenger."""
    challenger_share: float = 0.0
    """Share of customers whom the challenger answers, 0 to 1."""
    traces: str = ""
    """Where spans go (`nearline.tracing.start`)."""
    trace_share: float = 0.01
    logs: Path | None = None
    """Folder of log lines, a file for each process; None leaves logging as it is."""
    started_us: int = 0
    """When serving was started: what a watcher found before that says nothing of now."""

    @classmethod
    def of(cls, settings: Settings) -> ServingConfig:
        """From the settings; raises PermanentError where one makes no sense."""
        if not 0.0 <= settings.challenger_share <= 1.0:
            raise PermanentError(
                f"NEARLINE_CHALLENGER_SHARE={settings.challenger_share:g} is no share: "
                "expected 0 (nobody) to 1 (everybody), such as 0.1"
            )
        if settings.replicas < 1:
            raise PermanentError(f"NEARLINE_REPLICAS={settings.replicas}: at least 1 must answer")
        return cls(
            redis_url=settings.redis_address,
            partitions=settings.partitions,
            mlflow_uri=settings.mlflow_uri,
            bundles=settings.bundles,
            policy=settings.policy_folder,
            replicas=settings.replicas,
            features_timeout_ms=settings.features_timeout_ms,
            deadline_ms=settings.deadline_ms,
            served_sample=checked_share(settings.served_sample),
            challenger_share=settings.challenger_share,
            traces=settings.traces,
            logs=settings.logs / "serve",
            trace_share=settings.trace_share,
        )
