"""A tree of lines held against the types of `model`: its value, or every mistake with its line.

One walk for all types, so a field added to a type is read, checked and explained at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from typing import Any

from msgspec import inspect

from nearline.say import Words
from serving.policy.lines import Broken, Listing, Node, Problem, Scalar, Table
from serving.policy.wording import expected, shown

FAULTY: Any = object()
"""Stands for a value that could not be read; its problems are noted."""

_TRUE = ("true", "yes", "on")
_FALSE = ("false", "no", "off")


class Shape:
    """Reads the tree of one file. `lines` tells where each path was written."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.lines: dict[str, int] = {}

    def problem(self, line: int, en: str, zh: str) -> None:
        self.problems.append(Problem(self.file, line, Words(en, zh)))

    def value(self, node: Node, kind: inspect.Type, path: str) -> Any:
        """The value of a node at a path, or FAULTY."""
        self.lines.setdefault(path, node.line)
        match kind:
            case inspect.UnionType():
                return self._either(node, kind, path)
            case _ if isinstance(node, Broken):
                return FAULTY
            case inspect.StructType():
                return self._struct(node, kind, path)
            case inspect.DictType():
                return self._dict(node, kind, path)
            case inspect.VarTupleType() | inspect.FrozenSetType():
                return self._several(node, kind, path)
        if not isinstance(node, Scalar) or (node.null and not isinstance(kind, inspect.StrType)):
            return self._unexpected(node, kind, path)
        found = _scalar(node, kind, path)
        return self._unexpected(node, kind, path) if found is FAULTY else found

    def table(self, node: Node, path: str, what: Words | None = None) -> Table | None:
        """The node as `key: value` lines; an empty one stands for none of them."""
        if isinstance(node, Table):
            return node
        if isinstance(node, Scalar) and node.null:
            return Table(node.line)
        if not isinstance(node, Broken):
            what = what or Words("`name: value` lines", "`名称: 值` 形式的若干行")
            found = shown(node)
            self.problem(
                node.line,
                f"{path} is {found.en}; expected {what.en}",
                f"{path} 是{found.zh}；应为{what.zh}",
            )
        return None

    def unknown(self, line: int, path: str, name: str, known: Iterable[str]) -> None:
        """A name that is not one of those known; the nearest is suggested."""
        names = sorted(known)
        near = get_close_matches(name, names, n=1, cutoff=0.6)
        hint = Words("", "")
        if near:
            hint = Words(f" did you mean {near[0]}?", f"是否想写 {near[0]}？")
        self.problem(
            line,
            f"{path} has no {name!r}:{hint.en} It may hold {', '.join(names)}",
            f"{path} 中没有 {name!r}：{hint.zh}可用：{'、'.join(names)}",
        )

    def _either(self, node: Node, kind: inspect.UnionType, path: str) -> Any:
        if isinstance(node, Scalar) and node.null:
            return None  # The only unions of a policy are with null.
        (one,) = (one for one in kind.types if not isinstance(one, inspect.NoneType))
        if isinstance(one, inspect.StructType) or not isinstance(node, Scalar):
            return self.value(node, one, path)
        found = _scalar(node, one, path)
        return self._unexpected(node, kind, path) if found is FAULTY else found

    def _struct(self, node: Node, kind: inspect.StructType, path: str) -> Any:
        table = self.table(node, path, expected(kind))
        if table is None:
            return FAULTY
        fields = {one.encode_name: one for one in kind.fields}
        values: dict[str, Any] = {}
        for name, child in table.nodes.items():
            if name not in fields:
                self.unknown(table.lines[name], path, name, fields)
                values[name] = FAULTY
                continue
            below = f"{path}.{name}"
            self.lines[below] = table.lines[name]
            values[fields[name].name] = self.value(child, fields[name].type, below)
        for name, one in fields.items():
            if one.required and name not in table.nodes:
                what = expected(one.type)
                self.problem(
                    self.lines[path],
                    f"{path}.{name} is missing: add it; expected {what.en}",
                    f"缺少 {path}.{name}：请补上，应为{what.zh}",
                )
                values[name] = FAULTY
        if any(value is FAULTY for value in values.values()):
            return FAULTY
        return kind.cls(**values)

    def _dict(self, node: Node, kind: inspect.DictType, path: str) -> Any:
        table = self.table(node, path)
        if table is None:
            return FAULTY
        values: dict[str, Any] = {}
        good = self._enough(node, len(table.nodes), kind.min_length, path)
        for name, child in table.nodes.items():
            line, below = table.lines[name], f"{path}.{name}"
            self.lines[below] = line
            key: Any = name
            if isinstance(kind.key_type, inspect.LiteralType):
                names = [str(one) for one in kind.key_type.values]
                if name not in names:
                    self.unknown(line, path, name, names)
                    key = FAULTY
            else:
                key = self.value(Scalar(line, name, quoted=True), kind.key_type, below)
            value = self.value(child, kind.value_type, below)
            good = good and key is not FAULTY and value is not FAULTY
            values[name] = value
        return values if good else FAULTY

    def _several(
        self, node: Node, kind: inspect.VarTupleType | inspect.FrozenSetType, path: str
    ) -> Any:
        nodes: Sequence[Node] = ()
        if isinstance(node, Listing):
            nodes = node.nodes
        elif not (isinstance(node, Scalar) and node.null):
            return self._unexpected(node, kind, path)
        values = [self.value(one, kind.item_type, f"{path}[{at}]") for at, one in enumerate(nodes)]
        enough = self._enough(node, len(nodes), kind.min_length, path)
        if not enough or any(value is FAULTY for value in values):
            return FAULTY
        return frozenset(values) if isinstance(kind, inspect.FrozenSetType) else tuple(values)

    def _enough(self, node: Node, count: int, least: int | None, path: str) -> bool:
        if least is None or count >= least:
            return True
        self.problem(
            node.line,
            f"{path} is empty: name at least {least}, or leave {path} out",
            f"{path} 为空：请至少写 {least} 项，或删去 {path}",
        )
        return False

    def _unexpected(self, node: Node, kind: inspect.Type, path: str) -> Any:
        found, what = shown(node), expected(kind)
        near: list[str] = []
        if isinstance(kind, inspect.LiteralType) and isinstance(node, Scalar):
            near = get_close_matches(node.text, [str(one) for one in kind.values], n=1)
        hint = Words("", "")
        if near:
            hint = Words(f"; did you mean {near[0]}?", f"；是否想写 {near[0]}？")
        self.problem(
            node.line,
            f"{path} is {found.en}; expected {what.en}{hint.en}",
            f"{path} 是{found.zh}；应为{what.zh}{hint.zh}",
        )
        return FAULTY


@cache
def kind_of(type_: Any) -> inspect.Type:
    """A type as `Shape.value` takes it."""
    return inspect.type_info(type_)


def _scalar(node: Scalar, kind: inspect.Type, path: str) -> Any:
    text = node.text.strip()
    match kind:
        case inspect.StrType():
            least, most = kind.min_length or 0, kind.max_length or len(node.text)
            fits = kind.pattern is None or re.fullmatch(kind.pattern, node.text)
            missing = node.null and least
            return node.text if least <= len(node.text) <= most and fits and not missing else FAULTY
        case inspect.LiteralType():
            return node.text if node.text in kind.values else FAULTY
        case inspect.BoolType():
            word = text.lower()
            return word in _TRUE if word in _TRUE + _FALSE and not node.quoted else FAULTY
        case inspect.IntType():
            return _bounded(int(text), kind) if re.fullmatch(r"[-+]?\d{1,15}", text) else FAULTY
        case inspect.FloatType():
            try:
                return _bounded(float(text), kind)
            except ValueError:
                return FAULTY
        case inspect.DateTimeType():
            return _instant(text, end_of_day=path.endswith(".to"))
    raise TypeError(f"{path}: a policy cannot hold {kind}")


def _bounded(number: float, kind: inspect.IntType | inspect.FloatType) -> Any:
    good = (
        math.isfinite(number)
        and (kind.ge is None or number >= kind.ge)
        and (kind.gt is None or number > kind.gt)
        and (kind.le is None or number <= kind.le)
        and (kind.lt is None or number < kind.lt)
    )
    return number if good else FAULTY


def _instant(text: str, *, end_of_day: bool) -> Any:
    """An instant in UTC; a day is its first instant, or the first of the day after."""
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            day = date.fromisoformat(text) + timedelta(days=int(end_of_day))
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return FAULTY
