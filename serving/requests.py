"""What may be asked: one set of checks for HTTP and gRPC. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from nearline.contracts.answer import (
    MAX_ANCHORS,
    MAX_BATCH,
    MAX_CATEGORIES,
    MAX_ITEMS,
    MAX_WAIT_MS,
    Chosen,
    RecommendQuery,
    Scene,
    ScoresQuery,
)
from nearline.contracts.bundle import Task
from nearline.contracts.position import LogPosition, partition_of
from nearline.errors import PermanentError
from serving.policy.model import Policy

MAX_ID_LENGTH = 256
MAX_EXCLUDED = 1_000
# Of a list of ids in UTF-8: every question is kept on the log (`serving.made`). 1,000 UUIDs fit.
MAX_IDS_BYTES = 40_000
MAX_EXCLUDED_IN_URL = 50
MAX_AGE_YEARS = 150
SCENE_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,59}$"
SCENE_NAME = re.compile(SCENE_PATTERN)
LATEST_US = 4_102_444_800_000_000  # 2100-01-01
# The same rule as `_check_id` for OpenAPI: no control characters. JSON has no lone surrogates
# that a pattern could name, so those are refused by code alone.
ID_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]+$"

TEXT_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*$"
# A log token, or nothing, as `LogPosition.parse` takes it.
POSITION_PATTERN = r"^([0-9]+-[0-9]+-[0-9]+)?$"
_CONTROLS = "holds control characters or half a surrogate pair"
_NO_SCENE = "is no name of a scene: a-z, 0-9, _ and -, at most 60"
# What to say instead of a pattern: the same words as where code checks it.
PATTERNS = {
    ID_PATTERN: _CONTROLS,
    TEXT_PATTERN: _CONTROLS,
    SCENE_PATTERN: _NO_SCENE,
    POSITION_PATTERN: "is no log position: send the token as accepting the event returned it, "
    "such as 3-1763700000000-0",
}


class InvalidRequest(PermanentError):
    """A request that must be mended. `field` is its name on the wire, `hint` what to do."""

    def __init__(self, field: str, hint: str) -> None:
        self.field, self.hint = field, hint
        super().__init__(f"{field}: {hint}")


def recommend_query(
    customer_id: str,
    *,
    scene: str = "",
    k: int | None = None,
    exclude_item_ids: Sequence[str] = (),
    as_of_us: int | None = None,
    bundle: str = "",
    item_ids: Sequence[str] = (),
    category: str = "",
    channel: str = "",
    age_years: int | None = None,
    personalization: str = "",
    explain: bool = False,
    min_position: str = "",
    max_wait_ms: int | None = None,
) -> RecommendQuery:
    """The query, checked but for its scene; raises InvalidRequest.

    An empty scene means home, an empty personalization on.
    """
    for field, ids, at_most in (
        ("exclude_item_ids", exclude_item_ids, MAX_EXCLUDED),
        ("item_ids", item_ids, MAX_ANCHORS),
    ):
        if len(ids) > at_most:
            raise InvalidRequest(field, f"names {len(ids)} items; at most {at_most} are taken")
        _check_ids(field, ids)
        size = sum(len(one.encode()) for one in ids)
        if size > MAX_IDS_BYTES:
            raise InvalidRequest(
                field, f"its ids have {size:,} bytes together; at most {MAX_IDS_BYTES:,} are taken"
            )
    for field, text in (("category", category), ("channel", channel)):
        if text:
            _check_id(field, text)
    _check_range("k", k, 1, MAX_ITEMS, "items")
    _check_range("age_years", age_years, 0, MAX_AGE_YEARS, "years")
    _check_range("max_wait_ms", max_wait_ms, 0, MAX_WAIT_MS, "ms")
    if personalization not in ("", "on", "off"):
        raise InvalidRequest("personalization", "is neither on nor off")
    checked = RecommendQuery(
        customer_id=checked_customer_id(customer_id),
        scene=_scene(scene),
        k=k,
        exclude_item_ids=tuple(exclude_item_ids),
        as_of_us=checked_instant(as_of_us),
        bundle=_chosen(bundle),
        item_ids=tuple(dict.fromkeys(item_ids)),
        category=category,
        channel=channel,
        age_years=age_years,
        personalized=personalization != "off",
        explain=explain,
        min_position=_position(min_position),
    )
    return checked if max_wait_ms is None else replace(checked, max_wait_ms=max_wait_ms)


def scores_query(
    customer_ids: Sequence[str],
    *,
    tasks: Sequence[str] = (),
    categories: Sequence[str] = (),
    reasons: bool = True,
    as_of_us: int | None = None,
) -> ScoresQuery:
    """The query, checked; raises InvalidRequest."""
    _check_range("customer_ids", len(customer_ids), 1, MAX_BATCH, "customers")
    _check_range("categories", len(categories), 0, MAX_CATEGORIES, "categories")
    if unknown := [task for task in dict.fromkeys(tasks) if task not in set(Task)]:
        told = ", ".join(ascii(task[:40]) for task in unknown[: len(Task)])
        raise InvalidRequest("tasks", f"no such task: {told}; choose from {', '.join(Task)}")
    _check_ids("customer_ids", customer_ids)
    _check_ids("categories", categories)
    return ScoresQuery(
        customer_ids=tuple(customer_ids),
        tasks=tuple(dict.fromkeys(tasks)),
        categories=tuple(dict.fromkeys(categories)),
        reasons=reasons,
        as_of_us=checked_instant(as_of_us),
    )


def fitting(query: RecommendQuery, policy: Policy) -> RecommendQuery:
    """The query, if its scene is there and has what it needs; raises InvalidRequest."""
    scene = policy.scenes.get(query.scene)
    if scene is None:
        known = ", ".join(sorted(policy.scenes))
        raise InvalidRequest("scene", f"is not known; choose one of {known}")
    if scene.needs == "items" and not query.item_ids:
        raise InvalidRequest(
            "item_ids", f"is empty; the scene {query.scene} is about items: name at least one"
        )
    if scene.needs == "category" and not query.category:
        raise InvalidRequest(
            "category", f"is empty; the scene {query.scene} is about a category: name it"
        )
    return query


def own_position(query: RecommendQuery, partitions: int) -> LogPosition:
    """The position to wait for; raises InvalidRequest where it is no event of this customer.

    All of the customer's events lie in one of the log's `partitions`. A token of another customer
    in the same partition cannot be told from one's own.
    """
    wanted = LogPosition.parse(query.min_position)
    if wanted.partition >= partitions:
        raise InvalidRequest(
            "min_position",
            f"names partition {wanted.partition}, and this log has {partitions}, counted from 0: "
            "send the token as accepting the event returned it",
        )
    if wanted.partition != partition_of(query.customer_id, partitions):
        raise InvalidRequest(
            "min_position", "is the token of another customer's event: send this one's"
        )
    return wanted


def checked_customer_id(customer_id: str) -> str:
    """The id, if it is 1 to 256 characters without control characters or lone surrogates."""
    _check_id("customer_id", customer_id)
    return customer_id


def checked_instant(as_of_us: int | None) -> int | None:
    """The instant, if it lies between 1970 and 2100."""
    if as_of_us is not None and not 1 <= as_of_us <= LATEST_US:
        raise InvalidRequest(
            "as_of_us", "is not an instant between 1970 and 2100 in microseconds since the epoch"
        )
    return as_of_us


def _scene(text: str) -> str:
    if text and not SCENE_NAME.fullmatch(text):
        raise InvalidRequest("scene", _NO_SCENE)
    return text or Scene.HOME


def _position(text: str) -> str:
    try:
        return str(LogPosition.parse(text)) if text else ""
    except ValueError as error:
        raise InvalidRequest("min_position", str(error)) from None


def _check_range(field: str, value: int | None, least: int, most: int, what: str) -> None:
    if value is not None and not least <= value <= most:
        raise InvalidRequest(field, f"is {value}; ask for {least} to {most} {what}")


def _chosen(text: str) -> Chosen | None:
    try:
        return Chosen(text) if text else None
    except ValueError:
        known = " or ".join(one.value for one in Chosen)
        raise InvalidRequest("bundle", f"is not known; choose {known}, or leave it out") from None


def _check_ids(field: str, ids: Sequence[str]) -> None:
    for one in ids:
        _check_id(field, one)


def _check_id(field: str, text: str) -> None:
    if not 1 <= len(text) <= MAX_ID_LENGTH:
        raise InvalidRequest(field, f"has {len(text)} characters; an id has 1 to {MAX_ID_LENGTH}")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise InvalidRequest(field, _CONTROLS)
