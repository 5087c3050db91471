"""What may be asked: one set of checks for HTTP and gRPC. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from nearline.contracts.answer import MAX_ITEMS, Chosen, RecommendQuery, Scene
from nearline.errors import PermanentError

MAX_ID_LENGTH = 256
MAX_EXCLUDED = 1_000
MAX_EXCLUDED_IN_URL = 50
LATEST_US = 4_102_444_800_000_000  # 2100-01-01
# The same rule as `_check_id` for OpenAPI: no control characters. JSON has no lone surrogates
# that a pattern could name, so those are refused by code alone.
ID_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]+$"


class InvalidRequest(PermanentError):
    """A request that must be mended. `field` is its name on the wire, `hint` what to do."""

    def __init__(self, field: str, hint: str) -> None:
        self.field, self.hint = field, hint
        super().__init__(f"{field}: {hint}")


def recommend_query(
    customer_id: str,
    scene: str = "",
    k: int | None = None,
    exclude_item_ids: Sequence[str] = (),
    as_of_us: int | None = None,
    bundle: str = "",
) -> RecommendQuery:
    """The query, checked; raises InvalidRequest. An empty scene means home."""
    if len(exclude_item_ids) > MAX_EXCLUDED:
        raise InvalidRequest(
            "exclude_item_ids",
            f"names {len(exclude_item_ids)} items; at most {MAX_EXCLUDED} may be excluded",
        )
    for item_id in exclude_item_ids:
        _check_id("exclude_item_ids", item_id)
    if k is not None and not 1 <= k <= MAX_ITEMS:
        raise InvalidRequest("k", f"is {k}; ask for 1 to {MAX_ITEMS} items")
    return RecommendQuery(
        customer_id=checked_customer_id(customer_id),
        scene=_scene(scene),
        k=k,
        exclude_item_ids=tuple(exclude_item_ids),
        as_of_us=checked_instant(as_of_us),
        bundle=_chosen(bundle),
    )


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
    try:
        return Scene(text) if text else Scene.HOME
    except ValueError:
        known = ", ".join(scene.value for scene in Scene)
        raise InvalidRequest("scene", f"is not known; choose one of {known}") from None


def _chosen(text: str) -> Chosen | None:
    try:
        return Chosen(text) if text else None
    except ValueError:
        known = " or ".join(one.value for one in Chosen)
        raise InvalidRequest("bundle", f"is not known; choose {known}, or leave it out") from None


def _check_id(field: str, text: str) -> None:
    if not 1 <= len(text) <= MAX_ID_LENGTH:
        raise InvalidRequest(field, f"has {len(text)} characters; an id has 1 to {MAX_ID_LENGTH}")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise InvalidRequest(field, "holds control characters or half a surrogate pair")
