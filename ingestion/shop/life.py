"""Sixty days of a shop: who comes when, who drifts away, and the events that this leaves.

A customer's visits slow down and shrink before a departure, and departures follow visits
that found nothing, so that churn can be foreseen from behaviour, but not with certainty:
some leave from one day to the next, some only pause, and some who drift come back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ingestion.shop.listings import Listing, Listings
from ingestion.shop.visit import Act, Mind, Visit
from ingestion.shop.world import CATEGORIES, CURRENCY, Floats, Ints, World
from nearline.clock import utc
from nearline.contracts.event import ITEM_LISTED, KIND_OF_NAME, Event, Kind, Line, Purpose
from nearline.transforms.buckets import DAY_US, HOUR_US

CATALOGUE = "catalogue"  # The customer id under which the shop itself speaks.
SOURCE = "shop"
NEVER = 0  # In instants: it has not happened.
_NAME_OF_KIND = {kind: name for name, kind in KIND_OF_NAME.items()}
_FADING_PER_DAY = 0.02  # At middling satisfaction.
_PAUSE_PER_DAY = 1 / 70
_SUDDEN_SHARE = 0.12  # of departures, without any sign
_STAY_SHARE = 0.12  # of those who drift away and come back
# Visits by hour of the day, UTC: a low night, noon, and a high evening.
_HOURS = np.array(
    [4, 2, 1, 1, 1, 2, 4, 7, 9, 10, 11, 13, 14, 12, 10, 10, 11, 13, 16, 20, 22, 20, 14, 8]
)
_HOUR_SHARES: Floats = _HOURS / _HOURS.sum()


@dataclass(slots=True, eq=False)
class Lives:
    """The hidden course of each customer's life; instants in us, 0 for never."""

    satisfaction_C: Floats  # 0 to 1, a memory of how visits went
    fading_from_us_C: Ints
    fading_until_us_C: Ints
    churned_at_us_C: Ints
    busy_until_us_C: Ints  # the end of the last visit
    away_until_us_C: Ints
    pauses: list[list[tuple[int, int]]]
    minds: list[Mind]

    @classmethod
    def begin(cls, customers: int) -> Lives:
        def never() -> Ints:
            return np.full(customers, NEVER, np.int64)

        return cls(
            satisfaction_C=np.full(customers, 0.5),
            fading_from_us_C=never(),
            fading_until_us_C=never(),
            churned_at_us_C=never(),
            busy_until_us_C=never(),
            away_until_us_C=never(),
            pauses=[[] for _ in range(customers)],
            minds=[Mind() for _ in range(customers)],
        )

    def vigor_C(self, at_us: int) -> Floats:
        """How keen each customer is, in (0, 1]; falls while one drifts away."""
        length = np.maximum(1, self.fading_until_us_C - self.fading_from_us_C)
        progress = np.clip((at_us - self.fading_from_us_C) / length, 0.0, 1.0)
        return np.where(self.fading_from_us_C > NEVER, 1.0 - 0.85 * progress, 1.0)


class Simulation:
    """Draws a shop's past from one Generator: equal seeds give equal events.

    `lives` holds the truth as far as `days` has been consumed. Without `listings` the shop states
    no facts of its items; all else stays the same, event ids included.
    """

    def __init__(
        self,
        world: World,
        rng: np.random.Generator,
        *,
        start_us: int,
        until_us: int,
        run: str,
        listings: Listings | None = None,
    ) -> None:
        self._world, self._rng, self._run, self._listings = world, rng, run, listings
        self._start_us, self._until_us = start_us, until_us
        self.lives = Lives.begin(len(world.customers.ids))
        self._number = self._again = 0

    def days(self) -> Iterator[list[Event]]:
        """The events of each 24 hours, in time order across the whole; `until_us` excluded."""
        pending: list[_Happening] = []
        for day_us in range(self._start_us, self._until_us, DAY_US):
            end_us = min(day_us + DAY_US, self._until_us)
            self._live_a_day(day_us)
            pending += self._listings_between(day_us, end_us)
            vigor_C, season = self.lives.vigor_C(day_us), season_K(day_us)
            for customer, at_us in self._visits_of_day(day_us, vigor_C):
                pending += self._visit(customer, at_us, float(vigor_C[customer]), season)
            pending.sort(key=lambda happening: happening.at_us)  # Stable: ties keep their order.
            due = sum(happening.at_us < end_us for happening in pending)
            yield [self._event(happening) for happening in pending[:due]]
            pending = pending[due:]

    def _live_a_day(self, day_us: int) -> None:
        """Decide who goes on a pause, begins to drift, leaves or stays, at the day's start."""
        rng, lives = self._rng, self.lives
        count = len(lives.minds)
        here = (self._world.customers.arrived_at_us_C <= day_us) & (lives.churned_at_us_C == NEVER)
        pausing = here & (lives.away_until_us_C <= day_us) & (rng.random(count) < _PAUSE_PER_DAY)
        lengths = rng.integers(4, 15, count) * DAY_US
        for customer in np.flatnonzero(pausing):
            lives.away_until_us_C[customer] = day_us + lengths[customer]
            lives.pauses[customer].append((day_us, day_us + int(lengths[customer])))
        awake = here & (lives.away_until_us_C <= day_us)
        fading = lives.fading_from_us_C > NEVER
        hazard = _FADING_PER_DAY * np.exp(4.5 * (0.42 - lives.satisfaction_C))
        starting = awake & ~fading & (rng.random(count) < hazard)
        sudden = starting & (rng.random(count) < _SUDDEN_SHARE)
        drift = rng.integers(7, 22, count) * DAY_US
        lives.fading_from_us_C[starting] = day_us
        lives.fading_until_us_C[starting] = day_us + drift[starting]
        ended = here & fading & (lives.fading_until_us_C <= day_us)
        staying = ended & (rng.random(count) < _STAY_SHARE)
        lives.fading_from_us_C[staying] = NEVER
        lives.satisfaction_C[staying] = 0.6
        leaving = (ended & ~staying) | sudden
        # A visit may run past midnight: gone means after the last event.
        gone_us = np.maximum(day_us, lives.busy_until_us_C + 1)
        lives.churned_at_us_C[leaving] = gone_us[leaving]

    def _visits_of_day(self, day_us: int, vigor_C: Floats) -> list[tuple[int, int]]:
        """Customer and start of each visit of the day, in time order."""
        rng, lives, customers = self._rng, self.lives, self._world.customers
        arrives = (customers.arrived_at_us_C >= day_us) & (
            customers.arrived_at_us_C < day_us + DAY_US
        )
        new = arrives & (customers.arrived_at_us_C > self._start_us)
        here = (customers.arrived_at_us_C <= day_us) & (lives.churned_at_us_C == NEVER)
        here &= lives.away_until_us_C <= day_us
        weekend = 1.3 if utc(day_us).weekday() >= 5 else 0.9
        # Vigor is squared: visits become rarer faster than they become short.
        rates = customers.visits_per_day_C * weekend * vigor_C**2
        counts = np.where(here, rng.poisson(rates), 0)
        visits = [(int(c), int(customers.arrived_at_us_C[c])) for c in np.flatnonzero(new)]
        for customer in np.repeat(np.arange(len(counts)), counts):
            hour_of_start = int(day_us % DAY_US // HOUR_US)
            hour = (int(rng.choice(24, p=_HOUR_SHARES)) - hour_of_start) % 24
            at_us = day_us - day_us % HOUR_US + hour * HOUR_US + int(rng.integers(HOUR_US))
            visits.append((int(customer), max(day_us, at_us)))
        return sorted(visits, key=lambda visit: (visit[1], visit[0]))

    def _visit(self, customer: int, at_us: int, vigor: float, season: Floats) -> list[_Happening]:
        lives = self.lives
        busy_until_us = int(lives.busy_until_us_C[customer])
        if busy_until_us and at_us < busy_until_us + HOUR_US:
            return []  # Still here, or just gone: no second visit yet.
        visit = Visit(
            self._world,
            customer,
            lives.minds[customer],
            self._rng,
            at_us=at_us,
            vigor=vigor,
            category_weight_K=season,
        )
        acts: list[Act] = []
        while visit.looks_left > 0:
            acts += visit.look()
        acts += visit.leave()
        happenings: list[_Happening] = []
        for act in acts:
            at_us += act.wait_us
            happenings.append(_Happening(at_us, customer, act))
        lives.busy_until_us_C[customer] = at_us
        lives.satisfaction_C[customer] += 0.25 * (visit.luck - lives.satisfaction_C[customer])
        return happenings

    def _listings_between(self, from_us: int, until_us: int) -> list[_Happening]:
        arrived_I = self._world.items.arrived_at_us_I
        rows = np.flatnonzero((arrived_I >= from_us) & (arrived_I < until_us)).tolist()
        facts_I = self._listings.facts_I if self._listings else None
        first = [
            _Happening(int(arrived_I[row]), None, Listing(row, facts_I[row] if facts_I else None))
            for row in rows
        ]
        changes = self._listings.changes if self._listings else ()
        again = [_Happening(at_us, None, listing) for at_us, listing in changes]
        return first + [one for one in again if from_us <= one.at_us < until_us]

    def _event(self, happening: _Happening) -> Event:
        what = happening.what
        if isinstance(what, Listing) and what.again:
            self._again += 1  # Numbered apart: the ids of all other events stay.
            event_id = f"{self._run}-again-{self._again:05d}"
        else:
            self._number += 1
            event_id = f"{self._run}-{self._number:07d}"
        return event_of(self._world, happening.customer, what, happening.at_us, event_id=event_id)


@dataclass(frozen=True, slots=True)
class _Happening:
    """What a customer did, or (customer None) the item that the shop lists."""

    at_us: int
    customer: int | None
    what: Act | Listing


def event_of(
    world: World, customer: int | None, what: Act | Listing, at_us: int, *, event_id: str
) -> Event:
    """A customer's act, or with no customer the listing of an item, as it enters history."""
    act, facts = (what, None) if isinstance(what, Act) else (None, what.facts)
    items, quantities = (
        (what.items, what.quantities) if isinstance(what, Act) else ((what.item,), (1,))
    )
    lines = tuple(
        Line(
            item_id=world.items.ids[item],
            quantity=quantity,
            price_cents=int(world.items.price_cents_I[item]),
            category=CATEGORIES[world.items.category_I[item]].name,
            facts=facts,
        )
        for item, quantity in zip(items, quantities, strict=True)
    )
    paid = act is not None and act.kind is Kind.PURCHASE
    return Event(
        event_id=event_id,
        type="track",
        name=_NAME_OF_KIND[act.kind] if act else ITEM_LISTED,
        customer_id=CATALOGUE if customer is None else world.customers.ids[customer],
        occurred_at_us=at_us,
        known_at_us=at_us,
        source=SOURCE,
        lines=lines,
        value_cents=sum(line.quantity * (line.price_cents or 0) for line in lines)
        if paid
        else None,
        currency=CURRENCY,
        consent=consent_of(world, customer),
    )


def consent_of(world: World, customer: int | None) -> tuple[str, ...]:
    """What a customer allows; the shop's own announcements may be used for all but messages.

    Of those who allow personalization every third may be written to.
    """
    if customer is None:
        return (Purpose.ANALYTICS.value, Purpose.PERSONALIZATION.value)
    if not world.customers.personalizes_C[customer]:
        return (Purpose.ANALYTICS.value,)
    allowed = (Purpose.ANALYTICS.value, Purpose.PERSONALIZATION.value)
    return (*allowed, Purpose.MARKETING.value) if customer % 3 == 0 else allowed


def season_K(at_us: int) -> Floats:
    """Log weights of the categories at an instant: each has its own weeks of the year."""
    year = 2 * math.pi * at_us / (365 * DAY_US)
    phases = 2 * math.pi * np.arange(len(CATEGORIES)) / len(CATEGORIES)
    weights: Floats = 0.25 * np.sin(year + phases)
    return weights
