"""Which changes of an API break its callers, on documents of a few lines."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from tests.unit.api.surface import Surface, broken, of_openapi, of_proto

ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["score", "outcome"],
    "properties": {
        "score": {"type": "number"},
        "age_ms": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "outcome": {"type": "string", "enum": ["accepted", "rejected"]},
        "degraded": {"type": "array", "items": {"type": "string", "enum": ["stale"]}},
        "inner": {"$ref": "#/components/schemas/Answer"},
    },
}
DOCUMENT: dict[str, Any] = {
    "info": {"title": "Shop"},
    "paths": {
        "/v1/ask": {
            "get": {
                "parameters": [
                    {"name": "k", "in": "query", "schema": {"type": "integer", "maximum": 100}},
                    {
                        "name": "lang",
                        "in": "query",
                        "schema": {"enum": ["en", "zh"], "default": "en"},
                    },
                ],
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}
                        }
                    }
                },
            }
        },
        "/metrics": {"get": {"responses": {}}},
    },
    "components": {"schemas": {"Answer": ANSWER}},
}


def changed(change: Callable[[dict[str, Any], list[Any]], object]) -> list[str]:
    """The promises that a change of the answer's schema or of the parameters breaks."""
    document = copy.deepcopy(DOCUMENT)
    schema = document["components"]["schemas"]["Answer"]
    change(schema, document["paths"]["/v1/ask"]["get"]["parameters"])
    return broken(of_openapi(DOCUMENT), of_openapi(document))


def test_a_surface_lists_every_field_of_versioned_calls_and_ends_where_a_message_holds_itself() -> (
    None
):
    surface = of_openapi(DOCUMENT)

    assert surface["ask GET /v1/ask"] == {
        "query k": {"type": "integer", "maximum": 100},
        "query lang": {"type": "any", "enum": ["en", "zh"], "default": "en"},
    }
    assert surface["answer GET /v1/ask 200"] == {
        "body": {"type": "object", "required": True},
        "body.score": {"type": "number", "required": True},
        "body.age_ms": {"type": "null|number"},
        "body.outcome": {"type": "string", "required": True, "enum": ["accepted", "rejected"]},
        "body.degraded": {"type": "array"},
        "body.degraded[]": {"type": "string", "enum": ["stale"]},
        "body.inner": {"type": "object"},
    }
    assert surface.keys() == {"ask GET /v1/ask", "answer GET /v1/ask 200"}


@pytest.mark.parametrize(
    "change",
    [
        lambda answer, asked: None,
        lambda answer, asked: answer["properties"].update(new={"type": "string"}),
        lambda answer, asked: answer["properties"]["degraded"]["items"]["enum"].append("late"),
        lambda answer, asked: answer["properties"].update(age_ms={"type": "number"}),
        lambda answer, asked: answer["properties"].update(score={"type": "integer"}),
        lambda answer, asked: asked.append({"name": "n", "in": "query", "schema": {}}),
        lambda answer, asked: asked[0]["schema"].update(maximum=200),
        lambda answer, asked: asked[0]["schema"].pop("maximum"),
        lambda answer, asked: asked[0]["schema"].update(type="number"),
        lambda answer, asked: asked[1]["schema"]["enum"].append("de"),
    ],
)
def test_what_asks_for_no_more_and_answers_no_less_breaks_nothing(change: Any) -> None:
    assert changed(change) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda answer, _: answer["properties"].pop("score"), "body.score is gone"),
        (lambda answer, _: answer["required"].remove("score"), "body.score may be missing now"),
        (
            lambda answer, _: answer["properties"].update(score={"type": "string"}),
            "body.score was number and is string",
        ),
        (
            lambda answer, _: answer["properties"].update(score={"type": ["number", "null"]}),
            "body.score was number and is null|number",
        ),
        (
            lambda answer, _: answer["properties"]["outcome"]["enum"].append("deferred"),
            "body.outcome is a closed set and has grown: ['accepted', 'rejected', 'deferred']",
        ),
        (lambda _, asked: asked.pop(0), "query k is gone"),
        (lambda _, asked: asked[0].update(required=True), "query k has become required"),
        (
            lambda _, asked: asked.append(
                {"name": "n", "in": "query", "required": True, "schema": {}}
            ),
            "query n is new and required",
        ),
        (
            lambda _, asked: asked[0]["schema"].update(maximum=50),
            "query k has a narrower maximum: 100 before, 50 now",
        ),
        (
            lambda _, asked: asked[0]["schema"].update(minimum=1),
            "query k has a narrower minimum: None before, 1 now",
        ),
        (
            lambda _, asked: asked[1]["schema"].update(enum=["en"]),
            "query lang took ['en', 'zh'] and takes ['en']",
        ),
        (
            lambda _, asked: asked[1]["schema"].update(default="zh"),
            "query lang meant 'en' where left out and means 'zh'",
        ),
        (
            lambda _, asked: asked[0]["schema"].update(pattern="^1$"),
            "query k has another pattern",
        ),
    ],
)
def test_each_way_to_break_a_caller_is_seen(change: Any, fault: str) -> None:
    (found,) = changed(change)

    assert found.partition(": ")[2] == fault


def test_a_call_that_is_gone_is_seen() -> None:
    assert broken(of_openapi(DOCUMENT), {}) == [
        "answer GET /v1/ask 200 is gone",
        "ask GET /v1/ask is gone",
    ]


def test_refusals_promise_what_all_calls_have_in_common() -> None:
    document = copy.deepcopy(DOCUMENT)

    def refusal(*names: str) -> dict[str, Any]:
        schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
        return {"content": {"application/problem+json": {"schema": schema}}}

    document["paths"]["/v1/ask"]["get"]["responses"]["422"] = refusal("code", "title")
    document["paths"]["/v1/other"] = {"get": {"responses": {"422": refusal("code")}}}

    assert of_openapi(document)["answer Shop 422"].keys() == {"body", "body.code"}


def proto(**changes: Any) -> Surface:
    """A message of two fields and a call, changed."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="shop.proto", package="shop", syntax="proto3")
    message = file.message_type.add(name="Item")
    name = changes.get("name", {"name": "item_id", "number": 1})
    message.field.add(type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL, **name)
    rank = {"type": kinds.TYPE_INT32, "label": kinds.LABEL_OPTIONAL, "number": 2}
    message.field.add(name="rank", **rank | changes.get("rank", {}))
    if changes.get("presence"):
        message.oneof_decl.add(name="_rank")
        message.field[1].proto3_optional, message.field[1].oneof_index = True, 0
    service = file.service.add(name="Shop")
    call = {"name": "Ask", "input_type": ".shop.Item", "output_type": ".shop.Item"}
    service.method.add(**call | changes.get("call", {}))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return of_proto([pool.FindFileByName("shop.proto")])


def test_a_proto_surface_names_numbers_types_and_streams() -> None:
    assert proto() == {
        "message shop.Item": {
            "item_id": {"number": 1, "type": "string", "label": "single"},
            "rank": {"number": 2, "type": "int32", "label": "single"},
        },
        "service shop.Shop": {"Ask": {"asks": "shop.Item", "answers": "shop.Item"}},
    }


def test_each_way_to_break_a_proto_is_seen() -> None:
    kinds = descriptor_pb2.FieldDescriptorProto
    old, rank = proto(), "message shop.Item: rank was {'number': 2, 'type': 'int32', 'label': "

    assert broken(old, proto(name={"name": "id", "number": 1})) == [
        "message shop.Item: item_id is gone"
    ]
    for change in ({"number": 3}, {"type": kinds.TYPE_INT64}, {"label": kinds.LABEL_REPEATED}):
        (fault,) = broken(old, proto(rank=change))
        assert fault.startswith(rank)
    (fault,) = broken(old, proto(call={"server_streaming": True}))
    assert fault.startswith("service shop.Shop: Ask was")
    (fault,) = broken(proto(presence=True), old)  # who could tell 0 from nothing no longer can
    assert fault.startswith("message shop.Item: rank was")


def test_a_proto_field_may_learn_to_tell_nothing_from_zero() -> None:
    assert proto(presence=True)["message shop.Item"]["rank"]["label"] == "optional"
    assert broken(proto(), proto(presence=True)) == []
