"""The Python client: send what customers do, ask what to show them.

from nearline.client import AsyncClient, Client

allowed = {"analytics": True, "personalization": True}  # by this app's customers
with Client("http://127.0.0.1:7300", "http://127.0.0.1:7310", "KEY", consent=allowed) as shop:
    shop.view("customer-1", "item-7", price=19.90, category="shoes")
    verdict = shop.send_now("customer-1", "view_item", items=[{"item_id": "item-8"}])
    answer = shop.await_position("customer-1", verdict.position)

`AsyncClient` has the same calls to await. More: docs/clients.md.
"""

from nearline.client.client import AsyncClient, Client
from nearline.client.errors import (
    AnswerUnreadable,
    EventTooLarge,
    FlushTimeout,
    QueueFull,
    Refused,
    StillStale,
    Unavailable,
    Undelivered,
)

__all__ = [
    "AnswerUnreadable",
    "AsyncClient",
    "Client",
    "EventTooLarge",
    "FlushTimeout",
    "QueueFull",
    "Refused",
    "StillStale",
    "Unavailable",
    "Undelivered",
]
