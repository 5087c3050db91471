"""Real-time tags of one customer: the transform, with its receipt."""

from __future__ import annotations

from nearline.contracts.answer import Degradation, TagsAnswer
from nearline.errors import StoreUnavailable
from nearline.online import CustomerReading
from nearline.transforms import customer
from nearline.transforms.tags import tags_of
from serving.features import Features
from serving.receipts import receipt_of


async def tags_for(features: Features, customer_id: str, as_of_us: int) -> TagsAnswer:
    """The tags that hold at an instant; empty and degraded when the store does not answer."""
    degraded: tuple[Degradation, ...] = ()
    try:
        reading = await features.customer(customer_id)
    except StoreUnavailable:
        reading = CustomerReading(customer.EMPTY, 0, None)
        degraded = (Degradation.FEATURES_UNAVAILABLE,)
    return TagsAnswer(tags_of(reading.state, as_of_us), receipt_of(reading, as_of_us), degraded)
