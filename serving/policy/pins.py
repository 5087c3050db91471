"""Pins of campaigns: items that stand at a stated place. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serving.policy.model import Campaign
from serving.policy.situation import Placeable


@dataclass(frozen=True, slots=True)
class Pinned:
    """Places in the list, from 0, with their items; and why other pins do not stand."""

    held: Mapping[int, int]
    dropped: tuple[str, ...] = ()


NOTHING_PINNED = Pinned({})


def pinned(
    campaigns: Sequence[Campaign],
    ranked: Sequence[Placeable],
    withheld: Mapping[str, Sequence[int]],
    size: int,
) -> Pinned:
    """The pins of live campaigns in a list of `size` places; the campaign named first wins.

    An item that a hard rule withholds, or that nobody proposed, is not pinned.
    """
    if not any(campaign.pins for campaign in campaigns):
        return NOTHING_PINNED
    place_of = {item.item_id: place for place, item in reversed(list(enumerate(ranked)))}
    rule_of = {place: rule for rule, places in withheld.items() for place in places}
    held: dict[int, int] = {}
    dropped: list[str] = []
    for pin in (pin for campaign in campaigns for pin in campaign.pins):
        place = place_of.get(pin.item_id)
        if place is None:
            why = "not among the candidates"
        elif place in rule_of:
            why = rule_of[place]
        elif place in held.values():
            why = "pinned already"
        elif pin.place > size:
            why = f"place {pin.place} of {size}"
        elif pin.place - 1 in held:
            why = f"place {pin.place} is taken"
        else:
            held[pin.place - 1] = place
            continue
        dropped.append(f"{pin.item_id} ({why})")
    return Pinned(held, tuple(dropped))
