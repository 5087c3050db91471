"""A list made of a ranked sequence: every rule, in the order of truth. Pure.

1. banned, under_age, out_of_stock  2. low_rated  3. never_purchased  4. excluded, anchor
5. frequency_cap  6. pin  7. category_share  8. seen_share  9. boost, diversity, exploration

1 to 5 never yield. A pin stands only if they let it, and counts into the shares. The shares
yield where the list would stay short, 8 before 7, and say so. What 9 wishes, all others limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nearline.contracts.answer import Move, RuleEffect
from serving.policy import moves, names
from serving.policy.boosts import boosted
from serving.policy.diversity import Vectors, diversified
from serving.policy.explore import draws_of, explored
from serving.policy.filters import sifted
from serving.policy.model import SceneRules
from serving.policy.pins import pinned
from serving.policy.shares import Tally, fill, share_effects
from serving.policy.situation import Placeable, Situation

_FIRST_NAMED = 10
_CAPPED = "nothing is sent: this customer has had as many lists by this channel as the cap allows"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Places in the ranked sequence that make the list, in its order, and what the rules did.

    `moves` and `propensities` are in step with `places`. `relaxed` are the soft rules that had
    to yield.
    """

    places: tuple[int, ...]
    effects: tuple[RuleEffect, ...]
    moves: tuple[tuple[Move, ...], ...]
    propensities: tuple[float, ...]
    relaxed: frozenset[str] = frozenset()


def choose(
    ranked: Sequence[Placeable],
    situation: Situation,
    rules: SceneRules,
    *,
    vectors_of: Vectors | None = None,
    dropped: Mapping[str, int] | None = None,
) -> Chosen:
    """The `k` best of a ranked sequence that the rules allow.

    `vectors_of` gives unit vectors of places, and is asked only where the scene wants
    diversity. `dropped` counts by rule what was withheld before ranking; it is added to the
    effects.
    """
    situation = situation.admitted()
    allowed, withheld = sifted(ranked, situation, rules.settings)
    effects = _withheld_effects(ranked, withheld, dropped or {})
    stages = [moves.withholding(rule, places) for rule, places in withheld.items()]
    if situation.capped:
        return Chosen(
            (), (*effects, _effect(names.FREQUENCY_CAP, ranked, allowed, _CAPPED)), (), ()
        )
    size = min(situation.k, len(allowed))
    live = rules.live(situation.as_of_us, situation.tags)

    order, wishes = allowed, []
    if boosts := [boost for campaign in live for boost in campaign.boosts]:
        order, touched = boosted(allowed, ranked, boosts)
        stages.append(moves.ordering(names.BOOST, order))
        if touched:
            wishes.append(_effect(names.BOOST, ranked, touched))
    before_diversity = order
    if rules.diversity.strength and vectors_of is not None:
        order = diversified(order, rules.diversity.strength, rules.diversity.pool, vectors_of)
        stages.append(moves.ordering(names.DIVERSITY, order))

    pins = pinned(live, ranked, withheld, size)
    if pins.held:
        order_with_pins = moves.placing(order, pins)
        stages.append(moves.ordering(names.PIN, order_with_pins))
    else:
        order_with_pins = order
    if pins.held or pins.dropped:
        note = f"dropped: {', '.join(pins.dropped)}" if pins.dropped else ""
        effects.append(_effect(names.PIN, ranked, list(pins.held.values()), note))

    tally = Tally(ranked, situation.seen, rules.settings, size)
    for place in pins.held.values():
        tally.add(place)
    pinned_excess = tally.excess()
    taken, stopped = fill(order_with_pins, frozenset(pins.held.values()), tally, size)
    stages += moves.passing_over(order_with_pins, taken, stopped, pins) if stopped else []
    listed = moves.placing([place for place in order_with_pins if place in taken], pins)

    shown, propensities = listed, [1.0] * size
    if rules.explore.places and situation.seed:
        shown, propensities = explored(
            listed,
            [place for place in order if place not in taken],
            [at for at in range(size) if at not in pins.held][-rules.explore.places :],
            rules.explore,
            tally,
            draws_of(situation.seed),
        )
        stages.append(moves.ordering(names.EXPLORATION, shown))
    excess = tally.excess()
    effects += share_effects(ranked, frozenset(shown), stopped, pinned_excess, excess)
    if order is not before_diversity:
        was = {place: rank for rank, place in enumerate(before_diversity)}
        now = {place: rank for rank, place in enumerate(order)}
        moved = [place for place in shown if was[place] != now[place]]
        wishes += [_effect(names.DIVERSITY, ranked, moved)] if moved else []
    if found := [new for old, new in zip(listed, shown, strict=True) if old != new]:
        wishes.append(_effect(names.EXPLORATION, ranked, found))
    return Chosen(
        places=tuple(shown),
        effects=(*effects, *wishes),
        moves=moves.moves_of(shown, stages),
        propensities=tuple(propensities),
        relaxed=frozenset(rule for rule, places in excess.items() if places),
    )


def _effect(
    rule: str, ranked: Sequence[Placeable], places: Sequence[int], note: str = ""
) -> RuleEffect:
    first = tuple(ranked[place].item_id for place in places[:_FIRST_NAMED])
    return RuleEffect(rule, len(places), note, first)


def _withheld_effects(
    ranked: Sequence[Placeable], withheld: Mapping[str, Sequence[int]], dropped: Mapping[str, int]
) -> list[RuleEffect]:
    effects: list[RuleEffect] = []
    for rule in names.WITHHOLDING:
        places, before = withheld.get(rule, ()), dropped.get(rule, 0)
        if places or before:
            first = tuple(ranked[place].item_id for place in places[:_FIRST_NAMED])
            effects.append(RuleEffect(rule, len(places) + before, "", first))
    return effects
