"""Settings: one frozen tree, defaults that run on a laptop, each overridden by a variable.

Only composition roots (an `app.py`, a command) read them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from nearline.errors import PermanentError

LOOPBACK = "127.0.0.1"
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - what a setting may say
_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Within:
    """The least and the most that a number may be."""

    least: float
    most: float = math.inf

    def __str__(self) -> str:
        return f"{self.least} or more" if self.most == math.inf else f"{self.least} to {self.most}"


Port = Annotated[int, Within(1, _LAST_PORT)]
Count = Annotated[int, Within(1)]
Share = Annotated[float, Within(0, 1)]
Time = Annotated[float, Within(0)]
Limit = Annotated[float, Within(1)]  # In ms: in less, nothing is answered.


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are and how much they may take. Variable of `x_y`: `NEARLINE_X_Y`.

    Each field's sentence stands in docs/settings.md too, which `make settings` writes.
    """

    home: Path = field(default_factory=lambda: Path(".nearline").absolute())
    """Folder of everything that Nearline writes: log, history, registry, bundles, truth."""
    host: str = LOOPBACK
    """Address of the doors, for events and answers, and of metrics; all else stays on loopback."""
    redis_port: Port = 7379
    """Port of the embedded Valkey; unused when `redis_url` is set."""
    redis_url: str = ""
    """An existing Redis or Valkey (redis://host:port/db); empty starts the embedded one."""
    partitions: Count = 4
    """Partitions of the event log; fixed at the first start."""
    collector_http_port: Port = 7300
    """Events over HTTP; the collector's health and metrics."""
    collector_grpc_port: Port = 7301
    """Events over gRPC."""
    api_http_port: Port = 7310
    """Recommendations and scores over HTTP; their documentation (/docs), health and metrics."""
    api_grpc_port: Port = 7311
    """Recommendations and scores over gRPC."""
    metrics_port: Annotated[int, Within(1, _LAST_PORT - 1)] = 7330
    """Metrics of the stream worker; those of the history writer are on the next port."""
    history_flush_s: Time = 10.0
    """Longest time that an event waits for its Parquet file."""
    history_flush_events: Count = 20_000
    """So many waiting events are written even sooner."""
    features_timeout_ms: Limit = 60.0
    """Longest time that an answer waits for a customer's features."""
    deadline_ms: Limit = 150.0
    """Within this time a question is answered, or refused at once with 429."""
    replicas: Count = 2
    """Processes that answer. Each holds the models and every item: about one for each core."""
    policy: str = ""
    """Folder of scene and rule files (YAML); empty: policy/ in the home folder."""
    challenger_share: Share = 0.0
    """Share of customers whom the challenger answers, 0 to 1; who asks for it gets it anyway."""
    traces: str = ""
    """Where spans go: an OTLP address (http://host:4318) or a file; empty: nowhere."""
    trace_share: Share = 0.01
    """Share of questions whose trace is kept where the caller began none, 0 to 1."""
    served_sample: Share = 0.01
    """Share of answers whose feature vectors are kept, 0 to 1 (`nearline skew`)."""
    served_days: Time = 30.0
    """How long the vectors of `served_sample` are kept."""
    ray_address: str = ""
    """A Ray cluster that trains (auto, host:port or local); empty trains here."""
    log_retention_days: Time = 7.0
    """How long the log keeps events that history holds already."""

    @property
    def host_shown(self) -> str:
        """An address that the doors are reached at from here, for people to copy."""
        return LOOPBACK if self.host == _EVERYWHERE else self.host

    @property
    def redis_address(self) -> str:
        return self.redis_url or f"redis://{LOOPBACK}:{self.redis_port}/0"

    @property
    def redis_shown(self) -> str:
        """The same without user and password, for people to read."""
        scheme, _, rest = self.redis_address.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"

    @property
    def policy_folder(self) -> Path:
        """Scene and rule files; where there are none, the shipped ones hold."""
        return Path(self.policy).absolute() if self.policy else self.home / "policy"

    @property
    def history(self) -> Path:
        """Parquet of accepted events: day=YYYY-MM-DD/*.parquet."""
        return self.home / "history"

    @property
    def served(self) -> Path:
        """Parquet of feature vectors as rankers saw them: day=YYYY-MM-DD/*.parquet."""
        return self.home / "served"

    @property
    def offline(self) -> Path:
        """Parquet of feature rows for Feast's offline store."""
        return self.home / "offline"

    @property
    def registry(self) -> Path:
        return self.home / "feast_registry.db"

    @property
    def mlflow_uri(self) -> str:
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.home / "mlflow_artifacts"

    @property
    def bundles(self) -> Path:
        """Verified local copies of bundles, one folder for each version."""
        return self.home / "bundles"

    @property
    def truth(self) -> Path:
        """What the simulated shop knows and models must not see."""
        return self.home / "truth"

    @property
    def logs(self) -> Path:
        return self.home / "logs"


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the defaults and `NEARLINE_*`; a bad value is refused with its name."""
    environ = os.environ if environ is None else environ
    kinds = get_type_hints(Settings, include_extras=True)
    values: dict[str, Any] = {}
    for item in fields(Settings):
        name = f"NEARLINE_{item.name.upper()}"
        if text := environ.get(name):
            kind, *bounds = get_args(kinds[item.name]) or (kinds[item.name],)
            try:
                value: Any = Path(text).absolute() if kind is Path else kind(text)
            except ValueError:
                raise PermanentError(
                    f"{name}={text!r} is not a number: expected {kind.__name__}, such as "
                    f"{item.default}"
                ) from None
            for bound in bounds:
                if not (bound.least <= value <= bound.most and math.isfinite(value)):
                    raise PermanentError(
                        f"{name}={text} makes no sense: expected {bound}, such as {item.default}"
                    )
            values[item.name] = value
    settings = Settings(**values)
    if settings.redis_url:
        _check_redis(settings)
    language = environ.get("NEARLINE_LANG", "")
    if language and not language.lower().startswith(("en", "zh")):
        raise PermanentError(f"NEARLINE_LANG={language!r} is not spoken here: expected en or zh")
    return settings


def _check_redis(settings: Settings) -> None:
    from redis.connection import parse_url  # Slow to load, and few need it.

    try:
        parse_url(settings.redis_url)  # type: ignore[no-untyped-call]
    except ValueError:
        # Without the address and the error's words: both may hold the password.
        raise PermanentError(
            "NEARLINE_REDIS_URL is no address of a Redis or Valkey: expected "
            "redis://host:port/db, or rediss:// with TLS, such as redis://127.0.0.1:6379/0"
        ) from None


def to_environ(settings: Settings) -> dict[str, str]:
    """The variables that `load` would read these settings from, for a child process."""
    return {
        f"NEARLINE_{item.name.upper()}": str(getattr(settings, item.name))
        for item in fields(Settings)
    }
