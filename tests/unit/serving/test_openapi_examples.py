"""The examples of the API document are asked and answered, and fit the schemas beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import jsonschema
import pytest
from fastapi import FastAPI

from serving.health import Health
from serving.http_api import build
from serving.metrics import MeasuredAnswers, Metrics
from serving.watch import WatchState


@pytest.fixture
def app(world: Any, tiny: Any) -> FastAPI:
    world.features.fold([tiny.event(n, "c-1001", "view_item", [n], 60 - n) for n in range(1, 9)])

    async def health() -> Health:
        return Health.of(
            WatchState(active="1", looked=True),
            redis=True,
            items=True,
            exposures_waiting=0,
            policy="p",
        )

    metrics = Metrics(world.exposures)
    return build(MeasuredAnswers(world.answering, metrics), health, metrics)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def example_of(parameter: dict[str, Any]) -> Any:
    """The example of a parameter; None where it has none."""
    schema = parameter.get("schema", {})
    for found in (parameter.get("examples"), schema.get("examples")):
        if found:
            return found[0] if isinstance(found, list) else next(iter(found.values()))["value"]
    return parameter.get("example", schema.get("example"))


def body_of(document: dict[str, Any], operation: dict[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    schema = content["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return content.get("example", schema.get("example"))


def ask(
    app: FastAPI, path: str, method: str, operation: dict[str, Any], body: Any
) -> httpx.Response:
    query: dict[str, Any] = {}
    for parameter in operation.get("parameters", ()):
        value = example_of(parameter)
        if parameter["in"] == "path":
            assert value is not None, f"{path}: {parameter['name']} has no example"
            path = path.replace(f"{{{parameter['name']}}}", quote(str(value), safe=""))
        elif parameter["in"] == "query" and value is not None:
            query[parameter["name"]] = value
        else:
            assert not parameter.get("required"), f"{path}: {parameter['name']} has no example"

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.request(method, path, params=query, json=body)

    return asyncio.run(once())


def checked(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(
        value
    )


def test_every_example_of_a_question_is_answered_as_documented(app: FastAPI) -> None:
    document, asked = app.openapi(), 0
    for path, method, operation in operations(document):
        body = body_of(document, operation)
        assert body is not None or "requestBody" not in operation, f"{path} has no example body"

        answer = ask(app, path, method, operation, body)

        assert answer.status_code == 200, f"{method} {path}: {answer.text}"
        documented = operation["responses"]["200"]["content"]
        if "application/json" in documented:
            checked(document, documented["application/json"]["schema"], answer.json())
        asked += 1
    assert asked >= 6


def test_every_example_of_an_answer_fits_its_schema(app: FastAPI) -> None:
    document, looked_at = app.openapi(), 0
    for path, method, operation in operations(document):
        for response in operation["responses"].values():
            for media in response.get("content", {}).values():
                if "example" in media:
                    checked(document, media["schema"], media["example"])
                    looked_at += 1
        if path.startswith("/v1/"):
            told = operation["responses"]["200"]["content"]["application/json"]
            assert "example" in told, f"{method} {path} shows no answer"
    assert looked_at >= 6
