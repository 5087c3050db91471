"""An app may close its client in a signal handler, whatever the signal interrupted."""

from __future__ import annotations

import pytest

from tests.integration.client.test_forks import Shop, run, shop

__all__ = ["shop"]

PROGRAM = """
import signal, sys, threading
import httpcore
from nearline.client import Client
from nearline.client.outbox import SenderLimits

shop = Client(sys.argv[1], sys.argv[1], "key", limits=SenderLimits(linger_s=3_600.0))
create = httpcore.ConnectionPool.create_connection

def interrupted(pool, origin):
    if threading.current_thread() is threading.main_thread():
        assert pool._optional_thread_lock._lock.locked(), "signal in the worst place no more"
        signal.raise_signal(signal.SIGTERM)
    return create(pool, origin)

def stop(*_):
    shop.{ends}(50.0)
    print("handled")
    sys.exit()

httpcore.ConnectionPool.create_connection = interrupted
signal.signal(signal.SIGTERM, stop)
shop.view("customer-1", "item-1")
shop.tags("customer-1", timeout_s=50.0)
"""


@pytest.mark.parametrize("ends", ["close", "flush"])
def test_a_handler_that_interrupts_a_question_sends_what_is_queued(shop: Shop, ends: str) -> None:
    assert run(PROGRAM.replace("{ends}", ends), shop) == "handled\n"
    assert shop.events.keys() == {"customer-1"}
