"""The surface of this checkout, and the one that is promised: docs/api/v1.json.

`make api` writes the file anew, and refuses while that would break a promise; with
ARGS=--break-promises (before a first release, or for /v2) it does so all the same.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.unit.api.surface import Surface, broken, of_openapi, of_proto

PROMISED = Path(__file__).parents[3] / "docs" / "api" / "v1.json"


def gateway() -> dict[str, Any]:
    """The OpenAPI document of the recommendation API; none of its parts is called for it."""
    from serving.http_api import build

    nothing: Any = None
    return build(nothing, nothing, nothing).openapi()


def collector() -> dict[str, Any]:
    from ingestion.collector import openapi
    from ingestion.collector.http_door import build_http

    class Nowhere:
        address = ""

    nothing: Any = Nowhere()
    return openapi.document(build_http(nothing, nothing, nothing, nothing))


def current() -> Surface:
    from nearline.v1 import ingest_pb2, recommend_pb2

    files = (ingest_pb2.DESCRIPTOR, recommend_pb2.DESCRIPTOR)
    return of_openapi(gateway()) | of_openapi(collector()) | of_proto(files)


def promised() -> Surface:
    surface: Surface = json.loads(PROMISED.read_text(encoding="utf-8"))
    return surface


def text_of(surface: Surface) -> str:
    """JSON with one field a line, so that a difference reads well."""
    calls = [
        f"{json.dumps(name)}: {{\n"
        + ",\n".join(
            f"  {json.dumps(field)}: {json.dumps(facts, sort_keys=True, ensure_ascii=False)}"
            for field, facts in sorted(fields.items())
        )
        + "\n}"
        for name, fields in sorted(surface.items())
    ]
    return "{\n" + ",\n".join(calls) + "\n}\n"


def main(arguments: list[str]) -> int:
    found = current()
    faults = broken(promised(), found) if PROMISED.exists() else []
    sys.stderr.write("".join(f"breaks a promise of v1: {fault}\n" for fault in faults))
    if faults and "--break-promises" not in arguments:
        return 1
    PROMISED.parent.mkdir(parents=True, exist_ok=True)
    PROMISED.write_text(text_of(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
