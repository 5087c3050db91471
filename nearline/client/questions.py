"""What a question travels as: what differs from the defaults, and nothing else.

So a question that uses nothing new can be asked of an older server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from nearline.contracts.answer import RecommendQuery


def question(query: RecommendQuery) -> dict[str, Any]:
    """The body of POST /v1/recommend."""
    asked = {field.name: getattr(query, field.name) for field in fields(query)}
    body = {name: value for name, value in asked.items() if value != _DEFAULTS[name]}
    if body.pop("personalized", True) is False:
        body["personalization"] = "off"
    return body


def scores_question(
    tasks: Sequence[str], categories: Sequence[str], reasons: bool, as_of_us: int | None
) -> dict[str, Any]:
    """What is asked of a customer's scores, as `ScoresQuery` names it."""
    asked = {
        "tasks": several("tasks", tasks),
        "categories": several("categories", categories),
        "reasons": None if reasons else False,
        "as_of_us": as_of_us,
    }
    return {name: value for name, value in asked.items() if value not in (None, ())}


def several(name: str, values: Sequence[str]) -> tuple[str, ...]:
    """The texts of a list; raises TypeError for one text, which would be taken letter by letter."""
    if isinstance(values, str | bytes):
        raise TypeError(f"{name} is one text; expected a list of texts, such as {name}=['a', 'b']")
    return tuple(values)


_DEFAULTS = {field.name: field.default for field in fields(RecommendQuery)}
