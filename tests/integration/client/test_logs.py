"""Customers' ids stand in the addresses of questions, and so in no log, however much it tells."""

from __future__ import annotations

import logging
from collections.abc import Callable

import httpx
import pytest

from nearline.client import Client
from tests.integration.client.test_forks import Shop, shop

__all__ = ["shop"]


def test_no_log_holds_a_customers_id_and_the_apps_own_requests_are_logged_as_before(
    shop: Shop, open_client: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.DEBUG),
        caplog.at_level(logging.DEBUG, "httpx"),
        caplog.at_level(logging.DEBUG, "httpcore"),
    ):
        with open_client(shop.url, shop.url, "key") as client:
            client.tags("secret-ann", timeout_s=50.0)
            client.view("secret-ann", "item-1")
            client.flush(50.0)
        httpx.get(f"{shop.url}/of-the-app", timeout=50.0)

    assert "httpcore.http11" in {record.name for record in caplog.records}
    assert "secret-ann" not in caplog.text
    assert "/of-the-app" in caplog.text
