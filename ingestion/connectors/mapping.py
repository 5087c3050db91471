"""The mapping file: how the columns of somebody's log become events.

```yaml
name: myshop                 # of the import; letters, digits and - or _
columns:                     # our field: their column
  customer_id: user_id       # required
  item_id: sku               # required
  event: action              # required
  time: at                   # required
  event_id: id               # the rest as far as they exist: quantity, price (of one),
  price: price               # category, value (of the whole), currency, anonymous_id
events:                      # their word: GA4's name, or ignore
  click: view_item
  scroll: ignore
unknown_events: refuse       # or ignore: words that are not listed above
time:
  format: iso                # or epoch_s, epoch_ms, epoch_us
  zone: Asia/Shanghai        # of times that name none
  ambiguous: first           # the hour that the clocks repeat: first, second or refuse
money:
  unit: cents                # or units (18.99); required where price or value is mapped
  currency: EUR              # where there is no column
csv:
  separator: ","
consent: [analytics, personalization]  # what these customers granted; required
consent_basis: Opted in at registration.
```

A local time that the clocks skip in spring never was: such rows are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import yaml

from nearline.contracts.event import ITEM_LISTED, KIND_OF_NAME, Purpose
from nearline.errors import PermanentError

SHIPPED = Path(__file__).parent / "mappings"
REQUIRED = ("customer_id", "item_id", "event", "time")
OPTIONAL = ("event_id", "quantity", "price", "category", "value", "currency", "anonymous_id")
FIELDS = REQUIRED + OPTIONAL
IGNORE = "ignore"
EVENT_NAMES = (
    *KIND_OF_NAME,
    ITEM_LISTED,
    *("view_item_list", "select_item", "view_cart", "remove_from_cart", "begin_checkout"),
    *("refund", "search"),
)
TIME_FORMATS = ("iso", "epoch_s", "epoch_ms", "epoch_us")
AMBIGUOUS = ("first", "second", "refuse")
_SECTIONS = (
    *("name", "columns", "events", "unknown_events", "time", "money", "csv", "consent"),
    "consent_basis",
)
_CONSENT_WHY = (
    "an import must say what its customers allowed: consent: [analytics, personalization]. "
    "Without personalization the events are kept for analysis and shape no recommendation"
)


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping file that was found correct."""

    name: str
    columns: dict[str, str]  # our field -> their column, in the order of FIELDS
    events: dict[str, str]  # their word -> our name, or `ignore`
    consent: tuple[str, ...]  # sorted
    consent_basis: str = ""
    ignore_unknown: bool = False
    time_format: str = "iso"
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    ambiguous: str = "first"
    money_in_units: bool = False
    currency: str | None = None
    separator: str = ","

    def canonical(self) -> str:
        """Text that is equal for mappings that mean the same."""
        parts = [getattr(self, name) for name in self.__dataclass_fields__ if name != "name"]
        return repr([sorted(part.items()) if isinstance(part, dict) else part for part in parts])


class MappingRefused(PermanentError):
    """A mapping file with mistakes; `problems` holds line (from 1) and sentence of each."""

    def __init__(self, path: str, problems: list[tuple[int, str]]) -> None:
        self.path, self.problems = path, sorted(problems)
        lines = "\n".join(f"  line {line}: {problem}" for line, problem in self.problems)
        super().__init__(f"the mapping {path} cannot be used:\n{lines}")


def load(path_or_name: str) -> Mapping:
    """The mapping in a file, or a shipped one by name. Raises MappingRefused, PermanentError."""
    path = Path(path_or_name)
    shipped = SHIPPED / f"{path_or_name}.yaml"
    if not path.is_file() and path.name == path_or_name and shipped.is_file():
        path = shipped
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        names = ", ".join(sorted(found.stem for found in SHIPPED.glob("*.yaml")))
        raise PermanentError(
            f"the mapping {path_or_name!r} cannot be read ({type(error).__name__}): give a YAML "
            f"file, or the name of one that ships: {names}"
        ) from None
    return parse(text, str(path))


def parse(text: str, path: str) -> Mapping:
    """Read and check a mapping; raises MappingRefused with every mistake that was found."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise MappingRefused(path, [(line, f"this is not YAML: {error.problem}")]) from None
    except yaml.YAMLError:
        raise MappingRefused(path, [(1, "this is not YAML text")]) from None
    check = _Check()
    top = check.members(root, "the file", 1)
    check.known(top, _SECTIONS, "the file")
    columns = _columns(check, top)
    time = check.members_at(top, "time")
    check.known(time, ("format", "zone", "ambiguous"), "time")
    money = check.members_at(top, "money")
    check.known(money, ("unit", "currency"), "money")
    csv = check.members_at(top, "csv")
    check.known(csv, ("separator",), "csv")
    currency = check.text(money, "currency")
    if currency is not None and not (len(currency) == 3 and currency.isalpha()):
        check.problem(money["currency"], "money.currency must be three letters, such as EUR")
    if {"price", "value"} & columns.keys() and "unit" not in money:
        check.problem(
            top.get("money", top.get("columns")),
            "price or value is mapped, so money.unit must be cents or units",
        )
    separator = check.text(csv, "separator") or ","
    if len(separator) != 1:
        check.problem(csv["separator"], "csv.separator must be one character")
    mapping = Mapping(
        name=_name(check, top, path),
        columns=columns,
        events=_events(check, top),
        consent=_consent(check, top),
        consent_basis=check.text(top, "consent_basis") or "",
        ignore_unknown=check.one_of(top, "unknown_events", ("refuse", IGNORE)) == IGNORE,
        time_format=check.one_of(time, "format", TIME_FORMATS, "time.") or "iso",
        zone=_zone(check, time),
        ambiguous=check.one_of(time, "ambiguous", AMBIGUOUS, "time.") or "first",
        money_in_units=check.one_of(money, "unit", ("cents", "units"), "money.") == "units",
        currency=currency.upper() if currency else None,
        separator=separator,
    )
    if check.problems:
        raise MappingRefused(path, check.problems)
    return mapping


class _Check:
    """Collects problems with their lines, so that a person mends them all at once."""

    def __init__(self) -> None:
        self.problems: list[tuple[int, str]] = []

    def problem(self, node: yaml.Node | None, text: str) -> None:
        self.problems.append((node.start_mark.line + 1 if node else 1, text))

    def members(self, node: yaml.Node | None, what: str, line: int) -> dict[str, yaml.Node]:
        """The keys of a YAML mapping, as they are written."""
        if not isinstance(node, yaml.MappingNode):
            where = node.start_mark.line + 1 if node else line
            self.problems.append((where, f"{what} must hold `key: value` lines"))
            return {}
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.value in found:
                self.problem(key, f"{key.value!r} stands here twice")
            found[str(key.value)] = value
        return found

    def members_at(self, top: dict[str, yaml.Node], key: str) -> dict[str, yaml.Node]:
        return self.members(top[key], key, 1) if key in top else {}

    def known(self, members: dict[str, yaml.Node], names: tuple[str, ...], what: str) -> None:
        for name, node in members.items():
            if name not in names:
                self.problem(node, f"{what} has no {name!r}; it may hold {', '.join(names)}")

    def text(self, members: dict[str, yaml.Node], key: str) -> str | None:
        node = members.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode):
            self.problem(node, f"{key} must be text")
            return None
        return str(node.value)

    def one_of(
        self, members: dict[str, yaml.Node], key: str, values: tuple[str, ...], prefix: str = ""
    ) -> str | None:
        text = self.text(members, key)
        if text is not None and text not in values:
            self.problem(
                members[key], f"{prefix}{key} is {text!r}; expected one of {', '.join(values)}"
            )
        return text


def _columns(check: _Check, top: dict[str, yaml.Node]) -> dict[str, str]:
    members = check.members_at(top, "columns")
    check.known(members, FIELDS, "columns")
    for name in REQUIRED:
        if name not in members and not (name == "customer_id" and "anonymous_id" in members):
            check.problem(
                top.get("columns"),
                f"columns.{name} is missing: say which column of your file holds it",
            )
    columns = {name: check.text(members, name) for name in FIELDS if name in members}
    for name, column in columns.items():
        if column == "":
            check.problem(members[name], f"columns.{name} names no column")
    return {name: column for name, column in columns.items() if column}


def _events(check: _Check, top: dict[str, yaml.Node]) -> dict[str, str]:
    members = check.members_at(top, "events")
    if not members:
        check.problem(
            top.get("events"), "events is missing: say what your words mean, as view: view_item"
        )
    names = (*EVENT_NAMES, IGNORE)
    return {word: check.one_of(members, word, names, "events.") or IGNORE for word in members}


def _consent(check: _Check, top: dict[str, yaml.Node]) -> tuple[str, ...]:
    node = top.get("consent")
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        check.problem(node, _CONSENT_WHY)
        return ()
    known = tuple(purpose.value for purpose in Purpose)
    granted = [str(entry.value) for entry in node.value]
    for entry, purpose in zip(node.value, granted, strict=True):
        if purpose not in known:
            check.problem(entry, f"{purpose!r} is no purpose; expected {', '.join(known)}")
    if Purpose.ANALYTICS.value not in granted:
        check.problem(node, "without consent to analytics nothing may be kept at all")
    return tuple(sorted(set(granted)))


def _zone(check: _Check, time: dict[str, yaml.Node]) -> ZoneInfo:
    text = check.text(time, "zone")
    if text is None:
        return ZoneInfo("UTC")
    if text not in available_timezones():
        near = ", ".join(_zones_like(text)) or "Europe/Berlin, Asia/Shanghai, UTC"
        check.problem(time["zone"], f"time.zone {text!r} is not known; expected such as {near}")
        return ZoneInfo("UTC")
    return ZoneInfo(text)


def _zones_like(text: str) -> Iterator[str]:
    from difflib import get_close_matches

    yield from get_close_matches(text, sorted(available_timezones()), n=3)


def _name(check: _Check, top: dict[str, yaml.Node], path: str) -> str:
    name = check.text(top, "name") or Path(path).stem
    if fault := name_fault(name):
        check.problem(top.get("name"), fault)
    return name


def name_fault(name: str) -> str | None:
    """Why an import must not be called so; None where it may."""
    plain = name.replace("-", "").replace("_", "")
    if not (plain.isascii() and plain.isalnum() and len(name) <= 40):
        return f"name {name[:60]!r} must be at most 40 letters, digits, - or _"
    if name == "shop" or name.startswith("shop-"):
        return "the name shop belongs to the simulated shop; choose another"
    return None
