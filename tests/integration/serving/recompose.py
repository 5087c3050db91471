"""Answers of a running service made again in this process, from nothing but the store.

The bundles are made anew from their seeds, the items followed and the customers read from
Redis, so an answer that mixed two bundles, or two instants of one, could not be equal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from nearline.contracts.answer import Chosen, Recommendation
from nearline.online import CustomerReading
from nearline.transforms import customer
from serving.arrivals import Stocks
from serving.bundles import Bundle, load
from serving.composing import Inputs, compose
from serving.features import RedisFeatures, connect
from serving.follow import Follower, RedisItems
from serving.items import ItemTable
from serving.policy.load import shipped
from serving.requests import recommend_query


class Recomposer:
    """Everything that an answer is made of, as it stands now."""

    def __init__(
        self,
        url: str,
        partitions: int,
        customers: Iterable[str],
        bundles: Mapping[str, Path],
        challenger: str = "",
    ) -> None:
        self._bundles = {version: load(folder, version) for version, folder in bundles.items()}
        self._challenger, self._stocks = challenger, Stocks()
        self.table, self._customers = asyncio.run(
            read(url, partitions, list(customers), self._bundles.values())
        )

    def answer(self, question: Mapping[str, Any], shown: Mapping[str, Any]) -> Recommendation:
        """What must have been shown, by the bundle, instant and id that the answer names."""
        query = recommend_query(**question)
        bundle = self._bundles[shown["versions"]["bundle"]]
        assert bundle.finder is not None
        reading = self._customers.get(query.customer_id, _STRANGER)
        return compose(
            Inputs(
                query=query,
                policy=shipped(),
                reading=reading if query.personalized else _STRANGER,
                bundle=bundle,
                role=Chosen.CHALLENGER if bundle.version == self._challenger else Chosen.CHAMPION,
                stock=self._stocks.of(bundle.version, bundle.finder, self.table),
                table=self.table,
                as_of_us=shown["receipt"]["as_of_us"],
                response_id=shown["response_id"],
            )
        ).answer

    def bytes_of(self, question: Mapping[str, Any], shown: Mapping[str, Any]) -> bytes:
        """The same as it goes over HTTP."""
        return msgspec.json.encode(self.answer(question, shown))


async def read(
    url: str, partitions: int, customers: Iterable[str], bundles: Iterable[Bundle]
) -> tuple[ItemTable, dict[str, CustomerReading]]:
    client = connect(url)
    wanted = [name for one in bundles if one.finder for name in one.finder.catalogue.index_of]
    follower = Follower(RedisItems(client, partitions), partitions, lambda: wanted)
    await follower.step()
    features = RedisFeatures(client, partitions, 5_000)
    found = {name: await features.customer(name) for name in customers}
    await client.aclose()
    return follower.table, found


_STRANGER = CustomerReading(customer.EMPTY, 0, None)
