"""What v1 promises to callers, as facts, and which promises a change would break. Pure.

A surface maps each call (`ask POST /v1/recommend`, `answer GET /v1/tags/{customer_id} 200`) and
each message and service of the proto files to its fields, and each field to its facts. Refusals
stand once for each status (`answer Nearline 422`), with what they have in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor, FileDescriptor

Facts = dict[str, Any]
Surface = dict[str, dict[str, Facts]]

ASK, ANSWER, MESSAGE, SERVICE = "ask", "answer", "message", "service"
# Sets of words that never grow: the law of the four outcomes needs all of them.
CLOSED = frozenset({"outcome"})
_METHODS = ("get", "post", "put", "patch", "delete")
_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_SAME = ("pattern",)


def of_openapi(document: Mapping[str, Any]) -> Surface:
    """The calls of a document (OpenAPI 3.1) that carry a version in their path."""
    found: Surface = {}
    for name, call in _calls(document):
        found[f"{ASK} {name}"] = dict(_asked(call, document))
        for status, answer in call["responses"].items():
            fields = dict(_content(answer, document))
            if status < "300":
                found[f"{ANSWER} {name} {status}"] = fields
            else:
                refusal = f"{ANSWER} {document['info']['title']} {status}"
                held = found.setdefault(refusal, fields)
                found[refusal] = {field: held[field] for field in held if field in fields}
    return found


def _calls(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, calls in document["paths"].items():
        for method in _METHODS:
            if path.startswith("/v1/") and method in calls:
                yield f"{method.upper()} {path}", calls[method]


def of_proto(files: Iterable[FileDescriptor]) -> Surface:
    """Messages with the numbers and types of their fields, services with their methods."""
    found: Surface = {}
    for file in files:
        for message in file.message_types_by_name.values():
            found[f"{MESSAGE} {message.full_name}"] = {
                field.name: _field(field) for field in message.fields
            }
        for service in file.services_by_name.values():
            found[f"{SERVICE} {service.full_name}"] = {
                method.name: {
                    "asks": _streamed(method.client_streaming, method.input_type.full_name),
                    "answers": _streamed(method.server_streaming, method.output_type.full_name),
                }
                for method in service.methods
            }
    return found


def broken(old: Surface, new: Surface) -> list[str]:
    """The promises of the old surface that the new one does not keep, a sentence each.

    What is asked may be widened, what is answered may be narrowed or added to.
    """
    found: list[str] = []
    for name, old_fields in old.items():
        if name not in new:
            found.append(f"{name} is gone")
            continue
        kind, new_fields = name.partition(" ")[0], new[name]
        for field, facts in old_fields.items():
            if field not in new_fields:
                found.append(f"{name}: {field} is gone")
            else:
                found += [
                    f"{name}: {field} {fault}"
                    for fault in _faults(kind, field, facts, new_fields[field])
                ]
        if kind == ASK:
            found += [
                f"{name}: {field} is new and required"
                for field in new_fields.keys() - old_fields.keys()
                if new_fields[field].get("required")
            ]
    return sorted(found)


def _faults(kind: str, field: str, old: Facts, new: Facts) -> Iterator[str]:
    if kind == ASK:
        yield from _narrowed(old, new)
    elif kind == ANSWER:
        yield from _widened(field, old, new)
    elif old != new and not (new == old | {"label": "optional"} and old["label"] == "single"):
        yield f"was {old} and is {new}"


def _narrowed(old: Facts, new: Facts) -> Iterator[str]:
    """How less may be asked than before, or how the same question means something else."""
    if not _within(old["type"], new["type"]):
        yield f"took {old['type']} and takes {new['type']}"
    if new.get("required") and not old.get("required"):
        yield "has become required"
    if old.get("default") != new.get("default"):
        yield f"meant {old.get('default')!r} where left out and means {new.get('default')!r}"
    if "enum" in new and not set(old.get("enum", [None])) <= set(new["enum"]):
        yield f"took {old.get('enum', 'anything')} and takes {new['enum']}"
    for bounds, sign in ((_LEAST, -1), (_MOST, 1)):
        for bound in bounds:
            if bound in new and not (bound in old and sign * new[bound] >= sign * old[bound]):
                yield f"has a narrower {bound}: {old.get(bound)} before, {new[bound]} now"
    for rule in _SAME:
        if rule in new and old.get(rule) != new[rule]:
            yield f"has another {rule}"


def _widened(field: str, old: Facts, new: Facts) -> Iterator[str]:
    """How more may be answered than a caller can be ready for."""
    if not _within(new["type"], old["type"]):
        yield f"was {old['type']} and is {new['type']}"
    if old.get("required") and not new.get("required"):
        yield "may be missing now"
    if field.rpartition(".")[2] in CLOSED and not set(new.get("enum", [None])) <= set(
        old.get("enum", [])
    ):
        yield f"is a closed set and has grown: {new.get('enum', 'anything')}"


def _within(narrow: str, wide: str) -> bool:
    allowed = set(wide.split("|"))
    if "any" in allowed:
        return True
    if "number" in allowed:
        allowed.add("integer")
    return set(narrow.split("|")) <= allowed


def _asked(call: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[tuple[str, Facts]]:
    for parameter in call.get("parameters", ()):
        required = parameter.get("required", False)
        yield from _fields(
            f"{parameter['in']} {parameter['name']}", parameter["schema"], required, document, ()
        )
    yield from _content(call.get("requestBody", {}), document)


def _content(part: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[tuple[str, Facts]]:
    for media, held in part.get("content", {}).items():
        if "json" in media and "schema" in held:
            yield from _fields("body", held["schema"], True, document, ())


def _fields(
    name: str,
    schema: Mapping[str, Any],
    required: bool,
    document: Mapping[str, Any],
    inside: tuple[str, ...],
) -> Iterator[tuple[str, Facts]]:
    """The field itself, then what lies in it; `inside` are the schemas that it lies in."""
    variants = list(_variants(schema, document))
    kinds = {kind for variant in variants for kind in _kinds(variant)}
    facts: Facts = {"type": "|".join(sorted(kinds))}
    if required:
        facts["required"] = True
    for variant in (schema, *variants):
        for rule in ("default", "enum", *_LEAST, *_MOST, *_SAME):
            if rule in variant:
                facts[rule] = variant[rule]
        if "const" in variant:
            facts["enum"] = [variant["const"]]
    yield name, facts
    for variant in variants:
        reference = variant.get("title", "") if "properties" in variant else ""
        if reference and reference in inside:
            continue  # A message that holds itself.
        deeper = (*inside, reference) if reference else inside
        needed = set(variant.get("required", ()))
        for field, held in variant.get("properties", {}).items():
            yield from _fields(f"{name}.{field}", held, field in needed, document, deeper)
        if isinstance(variant.get("items"), Mapping):
            yield from _fields(f"{name}[]", variant["items"], False, document, deeper)
        if isinstance(variant.get("additionalProperties"), Mapping):
            held = variant["additionalProperties"]
            yield from _fields(f"{name}{{}}", held, False, document, deeper)


def _variants(
    schema: Mapping[str, Any], document: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """What the value may be, one by one, with references followed."""
    if "$ref" in schema:
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        yield from _variants({"title": schema["$ref"], **found}, document)
    elif choices := schema.get("anyOf") or schema.get("oneOf"):
        for choice in choices:
            yield from _variants(choice, document)
    else:
        yield schema


def _kinds(schema: Mapping[str, Any]) -> tuple[str, ...]:
    kind = schema.get("type")
    if kind is None:
        return (type(schema["const"]).__name__,) if "const" in schema else ("any",)
    return tuple(kind) if isinstance(kind, list) else (kind,)


def _field(field: FieldDescriptor) -> Facts:
    held = field.message_type or field.enum_type
    kind = held.full_name if held else _PROTO_TYPES[field.type]
    if field.is_repeated:
        label = "repeated"
    else:
        label = "optional" if field.has_presence and field.message_type is None else "single"
    facts: Facts = {"number": field.number, "type": kind, "label": label}
    oneof = field.containing_oneof
    return facts | ({"oneof": oneof.name} if oneof and not oneof.name.startswith("_") else {})


def _streamed(streams: bool, name: str) -> str:
    return f"stream {name}" if streams else name


_PROTO_TYPES = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}
