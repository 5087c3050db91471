"""YAML text as a tree that knows its lines; what YAML allows and a policy does not is refused.

Values stay text: what a scalar means depends on what is expected there, so an item called
`1001` or a category called `no` needs no quotes. Aliases, tags and several documents in a file
are refused, and so a file can never grow while it is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from nearline.say import Words

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file: where it is, and a sentence that says what to do."""

    file: str
    line: int  # from 1
    text: Words

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@dataclass(slots=True)
class Scalar:
    """A single value as it is written."""

    line: int
    text: str
    quoted: bool = False

    @property
    def null(self) -> bool:
        return not self.quoted and self.text in _NULLS


@dataclass(slots=True)
class Table:
    """`key: value` lines; `lines` holds those of the keys."""

    line: int
    nodes: dict[str, Node] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Listing:
    line: int
    nodes: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Broken:
    """A value that was refused already."""

    line: int


Node = Scalar | Table | Listing | Broken


def read(content: bytes, file: str) -> tuple[Node, list[Problem]]:
    """The tree of one file, and what is wrong with it as YAML; an empty file is an empty Table."""
    if len(content) > MAX_BYTES:
        size_mb, most_mb = len(content) / 1e6, MAX_BYTES / 1e6
        return _refused(
            file,
            1,
            Words(
                f"the file has {size_mb:.1f} MB, at most {most_mb:g} MB are read: split it, or "
                "state the facts of items in events instead (docs/scenes.md)",
                f"文件大小 {size_mb:.1f} MB，上限为 {most_mb:g} MB：请拆分，"
                "或改为通过事件上报商品属性（见 docs/scenes.md）",
            ),
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return _refused(
            file,
            line,
            Words(
                "this is not UTF-8 text: save the file as UTF-8",
                "不是 UTF-8 文本：请以 UTF-8 编码保存",
            ),
        )
    builder = _Builder(file)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
            if builder.stopped:
                break
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        line = min(line, len(text.splitlines()))  # the end lies behind the last one
        builder.problem(
            line,
            f"this is not YAML ({error.problem}): look at this line and the one before",
            f"不是合法的 YAML（{error.problem}）：请检查本行与上一行",
        )
        builder.stopped = True
    except yaml.YAMLError:
        builder.problem(
            1,
            "the file holds characters that YAML does not allow: type it anew as plain text",
            "文件含有 YAML 不允许的字符：请以纯文本重新录入",
        )
        builder.stopped = True
    root = Broken(1) if builder.stopped else builder.root or Table(1)
    return root, builder.problems


def _refused(file: str, line: int, text: Words) -> tuple[Node, list[Problem]]:
    return Broken(line), [Problem(file, line, text)]


class _Builder:
    """Puts parser events together, without recursion."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self.stopped = False
        self._open: list[Table | Listing] = []
        self._key: Scalar | None = None  # of the innermost table, once it was read
        self._keys: list[Scalar | None] = []  # of those around it

    def problem(self, line: int, en: str, zh: str) -> None:
        self.problems.append(Problem(self.file, line, Words(en, zh)))

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            self.problem(
                line,
                "a second YAML document begins here: take the line --- out, or use another file",
                "此处开始了第二个 YAML 文档：请删去 --- 行，或另建文件",
            )
            self.stopped = True
        elif isinstance(event, yaml.AliasEvent):
            self.problem(
                line,
                f"*{event.anchor} is a YAML alias: write the value out here",
                f"*{event.anchor} 是 YAML 别名：请在此处写出完整的值",
            )
            self._put(Broken(line))
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._refuse_tag(event, line)
            table = isinstance(event, yaml.MappingStartEvent)
            self._begin(Table(line) if table else Listing(line))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            node = self._open.pop()
            self._key = self._keys.pop()
            self._put(node)
        elif isinstance(event, yaml.ScalarEvent):
            self._refuse_tag(event, line)
            self._put(Scalar(line, event.value, quoted=bool(event.style)))

    def _refuse_tag(self, event: Any, line: int) -> None:
        if event.tag is not None:
            self.problem(
                line,
                f"{event.tag} is a YAML tag: take it out, values are read as what is expected",
                f"{event.tag} 是 YAML 标签：请删去，值会按所需类型读取",
            )

    def _begin(self, node: Table | Listing) -> None:
        if len(self._open) == MAX_DEPTH:
            self.problem(
                node.line,
                f"more than {MAX_DEPTH} levels inside one another: nothing here goes so deep",
                f"嵌套超过 {MAX_DEPTH} 层：此处无需如此之深",
            )
            self.stopped = True
        self._open.append(node)
        self._keys.append(self._key)
        self._key = None

    def _put(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        inner = self._open[-1]
        if isinstance(inner, Listing):
            inner.nodes.append(node)
        elif self._key is None:
            self._key = self._as_key(node)
        else:
            key, self._key = self._key, None
            if key.text in inner.nodes:
                path = ".".join(one.text for one in (*self._keys, key) if one is not None)
                first = inner.lines[key.text]
                self.problem(
                    key.line,
                    f"{path} stands here a second time, after line {first}: keep one of them",
                    f"{path} 重复出现，首次在第 {first} 行：请只保留一处",
                )
            else:
                inner.nodes[key.text] = node
                inner.lines[key.text] = key.line

    def _as_key(self, node: Node) -> Scalar:
        if isinstance(node, Scalar):
            return node
        self.problem(
            node.line,
            "a list or a table cannot be a key: write `name: value`",
            "列表或表格不能作为键：请写成 `名称: 值`",
        )
        return Scalar(node.line, f"\0{node.line}")
