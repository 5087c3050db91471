"""What feature_store.yaml asks of its environment, from the settings."""

from __future__ import annotations

from redis.connection import parse_url

from nearline.settings import Settings


def variables(settings: Settings) -> dict[str, str]:
    """Each variable of feature_store.yaml, and the home that definitions.py reads."""
    return {
        "NEARLINE_HOME": str(settings.home),
        "NEARLINE_FEAST_REGISTRY": str(settings.registry),
        "NEARLINE_FEAST_REDIS": connection_string(settings.redis_address),
    }


def connection_string(url: str) -> str:
    """A Redis URL in Feast's words: `host:port,db=1,password=...`."""
    parts = parse_url(url)  # type: ignore[no-untyped-call]
    words = [f"{parts.get('host', 'localhost')}:{parts.get('port', 6379)}"]
    words += [f"{name}={parts[name]}" for name in ("db", "username", "password") if parts.get(name)]
    return ",".join([*words, "ssl=true"] if url.startswith("rediss://") else words)
