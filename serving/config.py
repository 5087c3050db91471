"""What the answering side needs to know, as values that travel to its replicas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nearline.errors import PermanentError
from nearline.served import checked_share
from nearline.settings import Settings


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """Addresses and limits; built once from the settings by a composition root."""

    redis_url: str
    partitions: int
    mlflow_uri: str
    bundles: Path
    """Folder of verified local copies of bundles."""
    features_timeout_ms: float = 100.0
    """For each of two reads: the customer, then the candidates."""
    retrieval_timeout_ms: float = 1_600.0
    """Then the gateway answers by itself, with popular items."""
    ranking_timeout_ms: float = 1_500.0
    """Then the order of retrieval stands."""
    churn_timeout_ms: float = 1_600.0
    served_sample: float = 0.01
    """Share of answers whose feature vectors are kept."""
    arrivals_every_s: float = 0.5
    """How often retrieval looks for items that came after its bundle."""
    watch_every_s: float = 2.0
    """How often the registry is asked which bundles are champion and challenger."""
    challenger_share: float = 0.0
    """Share of customers whom the challenger answers, 0 to 1."""

    @classmethod
    def of(cls, settings: Settings) -> ServingConfig:
        """From the settings; raises PermanentError where one makes no sense."""
        if not 0.0 <= settings.challenger_share <= 1.0:
            raise PermanentError(
                f"NEARLINE_CHALLENGER_SHARE={settings.challenger_share:g} is no share: "
                "expected 0 (nobody) to 1 (everybody), such as 0.1"
            )
        return cls(
            redis_url=settings.redis_address,
            partitions=settings.partitions,
            mlflow_uri=settings.mlflow_uri,
            bundles=settings.bundles,
            features_timeout_ms=settings.features_timeout_ms,
            served_sample=checked_share(settings.served_sample),
            # A stage that reads features must have time for its own fallback.
            retrieval_timeout_ms=2 * settings.features_timeout_ms + 1_500.0,
            churn_timeout_ms=settings.features_timeout_ms + 1_500.0,
            challenger_share=settings.challenger_share,
        )
