"""What a file says and what it should say, in words for people. Pure."""

from __future__ import annotations

from msgspec import inspect

from nearline.say import Words
from serving.policy.lines import Listing, Node, Scalar

_LONGEST_SHOWN = 60


def shown(node: Node) -> Words:
    """What stands there, shortened."""
    if isinstance(node, Scalar):
        if node.null:
            return Words("empty", "空值")
        text = node.text if len(node.text) <= _LONGEST_SHOWN else f"{node.text[:_LONGEST_SHOWN]}..."
        return Words(repr(text), f" {text!r}")
    return Words("a list", "列表") if isinstance(node, Listing) else Words("a table", "表格")


def expected(kind: inspect.Type) -> Words:
    """What a type asks for, in words."""
    match kind:
        case inspect.UnionType():
            (inner,) = (one for one in kind.types if not isinstance(one, inspect.NoneType))
            what = expected(inner)
            return Words(f"{what.en}, or null", f"{what.zh}，或 null")
        case inspect.BoolType():
            return Words("true or false", " true 或 false")
        case inspect.IntType():
            return Words(f"a whole number{_range(kind).en}", f"整数{_range(kind).zh}")
        case inspect.FloatType():
            return Words(f"a number{_range(kind).en}", f"数字{_range(kind).zh}")
        case inspect.LiteralType():
            names = [str(one) for one in kind.values]
            return Words(f"one of {', '.join(names)}", f"以下之一：{'、'.join(names)}")
        case inspect.DateTimeType():
            return Words(
                "a day such as 2026-11-11, or an instant such as 2026-11-11T20:00:00+08:00",
                "日期（如 2026-11-11）或时刻（如 2026-11-11T20:00:00+08:00）",
            )
        case inspect.StrType() if kind.pattern:
            return Words(
                "a name of small letters, digits, - and _, at most 60",
                "由小写字母、数字、- 和 _ 组成的名称，最多 60 个字符",
            )
        case inspect.StrType():
            most = kind.max_length
            return Words(f"text of 1 to {most} characters", f" 1 到 {most} 个字符的文本")
        case inspect.VarTupleType() | inspect.FrozenSetType():
            return Words("a list, such as [a, b]", "列表，如 [a, b]")
        case inspect.StructType():
            names = [one.encode_name for one in kind.fields]
            return Words(f"lines with {', '.join(names)}", f"含 {'、'.join(names)} 的若干行")
    return Words("`name: value` lines", "`名称: 值` 形式的若干行")


def _range(kind: inspect.IntType | inspect.FloatType) -> Words:
    if kind.gt is not None:
        return Words(
            f" above {kind.gt:g}, at most {kind.le:g}", f"，大于 {kind.gt:g}，不超过 {kind.le:g}"
        )
    if kind.ge is not None:
        return Words(f" from {kind.ge:g} to {kind.le:g}", f"，{kind.ge:g} 到 {kind.le:g}")
    return Words("", "")
