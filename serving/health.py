"""What GET /healthz says of the answering side."""

from __future__ import annotations

from pydantic import BaseModel, Field

import nearline
from serving.watch import WatchState


class Health(BaseModel):
    """What is there. The gateway answers, with fallbacks, even where something is missing."""

    status: str = Field(
        description="`ok`; `degraded` when something below is missing or refused; `starting` "
        "(with 503) until the registry was asked for a bundle once and this replica has it."
    )
    bundle: str = Field(description="Version that answers now; empty when none is loaded.")
    bundle_refused: str = Field(description="Why the champion does not serve, or empty.")
    challenger: str = Field(description="Version that answers beside it, or empty.")
    challenger_refused: str = Field(description="Why the challenger does not, or empty.")
    redis: bool = Field(description="Whether the feature store answers.")
    items: bool = Field(
        description="Whether the items' states (price, stock, popularity) are in memory. A million "
        "take minutes; until then answers go without them."
    )
    registry: bool = Field(
        description="Whether the model registry answered when it was asked last. While it does "
        "not, what is loaded goes on serving."
    )
    policy: str = Field(description="Version of the scene and rule files that hold now.")
    policy_refused: str = Field(
        description="What is wrong with newer files, or empty. The ones before hold meanwhile."
    )
    exposures_waiting: int
    version: str

    @classmethod
    def of(
        cls,
        watched: WatchState,
        *,
        redis: bool,
        items: bool,
        exposures_waiting: int,
        policy: str = "",
        policy_refused: str = "",
    ) -> Health:
        """A refused challenger is told and harms nothing: the champion answers in its place."""
        well = redis and items and watched.registry and bool(watched.active) and not watched.refused
        well = well and not policy_refused
        return cls(
            status="starting" if not watched.looked else "ok" if well else "degraded",
            bundle=watched.active,
            bundle_refused=watched.refused,
            challenger=watched.challenger,
            challenger_refused=watched.challenger_refused,
            redis=redis,
            items=items,
            registry=watched.registry,
            policy=policy,
            policy_refused=policy_refused,
            exposures_waiting=exposures_waiting,
            version=nearline.__version__,
        )
