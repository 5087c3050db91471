"""What the answering side needs to know, as values that travel to its replicas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
    watch_every_s: float = 2.0
    """How often the registry is asked which bundle is champion."""

    @classmethod
    def of(cls, settings: Settings) -> ServingConfig:
        return cls(
            redis_url=settings.redis_address,
            partitions=settings.partitions,
            mlflow_uri=settings.mlflow_uri,
            bundles=settings.bundles,
            features_timeout_ms=settings.features_timeout_ms,
            # A stage that reads features must have time for its own fallback.
            retrieval_timeout_ms=2 * settings.features_timeout_ms + 1_500.0,
            churn_timeout_ms=settings.features_timeout_ms + 1_500.0,
        )
