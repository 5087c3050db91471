"""An answer made again from what history and the log say was known to it. Pure but for progress.

Folds the events up to the positions that the answer names, by the functions that the stream
worker uses, and composes with the same bundle, policy and chance.
"""

from __future__ import annotations

from collections.abc import Iterable

from nearline.contracts.event import Event
from nearline.contracts.position import LogPosition
from nearline.errors import PermanentError
from nearline.online import CustomerReading, ItemReading
from nearline.say import say
from nearline.transforms import customer, item
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState
from serving.arrivals import Stocks
from serving.bundles import Bundle
from serving.composing import Composed, Inputs, compose
from serving.features import PopularItem
from serving.items import ItemTable
from serving.made import Made
from serving.policy.model import Policy


class NotRemakable(PermanentError):
    """An answer that cannot be made again; `why`, in the reader's language, ends in what to do."""

    def __init__(self, response_id: str, why: str) -> None:
        self.response_id, self.why = response_id, why
        super().__init__(
            say(
                f"answer {response_id} cannot be made again: {why}",
                f"答案 {response_id} 无法重新生成：{why}",
            )
        )


class Known:
    """What was known to one answer: fold all events into it, in any order."""

    def __init__(self, made: Made, as_of_us: int) -> None:
        self.made, self.as_of_us = made, as_of_us
        self.items: dict[str, ItemState] = {}
        self._state: CustomerState = customer.EMPTY
        self._known_at_us = 0
        self._first_known_us: dict[str, int] = {}
        held = [LogPosition.parse(token) for token in made.item_positions]
        self._item_limits = {one.partition: one for one in held}
        token = made.customer_position
        self._limit = LogPosition.parse(token) if token else None
        self._customer_id = None if made.stranger else made.query.customer_id

    def add(self, event: Event, position: LogPosition | None) -> None:
        """Fold one event, if it was known; `position` is None for imported history.

        Imports lie under every row from the moment they were made, so those of later than the
        answer make it another one.
        """
        if event.customer_id == self._customer_id and self._within(position, self._limit):
            gained = customer.state_of(event)
            if gained != customer.EMPTY:
                self._state = self._state + gained
                self._known_at_us = max(self._known_at_us, event.known_at_us)
        limit = self._item_limits.get(position.partition) if position else None
        if self._item_limits and self._within(position, limit):
            for item_id, gained_by in item.states_of(event).items():
                held = self.items.get(item_id, item.EMPTY)
                self.items[item_id] = held + gained_by
                first_us = self._first_known_us.get(item_id, event.known_at_us)
                self._first_known_us[item_id] = min(first_us, event.known_at_us)

    def reading(self) -> CustomerReading:
        """The customer as the answer read it; a stranger where it read nothing."""
        return CustomerReading(self._state, self._known_at_us, self._limit)

    def table(self) -> ItemTable | None:
        """The items as the answer saw them; None where it had none."""
        if not self._item_limits:
            return None
        partitions = len(self._item_limits)
        table = ItemTable(partitions)
        table.start([self._item_limits[partition] for partition in range(partitions)])
        unguarded = (None,) * partitions
        readings = {name: ItemReading(state, unguarded) for name, state in self.items.items()}
        table.load(readings, self._first_known_us)
        return table

    def _within(self, position: LogPosition | None, limit: LogPosition | None) -> bool:
        return position is None or (limit is not None and position <= limit)


def remade(
    response_id: str,
    known: Known,
    bundle: Bundle | None,
    policy: Policy,
    popular: tuple[PopularItem, ...] = (),
) -> Composed:
    """The answer again; the same bytes, on a machine that computes alike."""
    made, table = known.made, known.table()
    finder = bundle.finder if bundle is not None else None
    stock = Stocks().of(bundle.version, finder, table) if bundle and finder else None
    return compose(
        Inputs(
            query=made.query,
            policy=policy,
            reading=known.reading(),
            bundle=bundle,
            role=made.role,
            stock=stock,
            table=table,
            as_of_us=known.as_of_us,
            response_id=response_id,
            popular=popular,
            missing=made.missing,
            without=frozenset(made.without),
            capped=made.capped,
        )
    )


def fold(known: Known, events: Iterable[tuple[Event, LogPosition | None]]) -> None:
    """Add many events."""
    for event, position in events:
        known.add(event, position)


__all__ = ["Known", "NotRemakable", "fold", "remade"]
