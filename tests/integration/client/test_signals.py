"""An app may close its client in a signal handler, whatever the signal interrupted."""

from __future__ import annotations

import httpcore
import pytest

from nearline.client import Client
from tests.integration.client.test_forks import Shop, run, shop

__all__ = ["shop"]

QUESTION = """
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
    assert run(QUESTION.replace("{ends}", ends), shop) == "handled\n"
    assert shop.events.keys() == {"customer-1"}


CLOSE = """
import signal, sys, threading
from nearline.client import Client
from nearline.client.outbox import SenderLimits

wait = threading.Condition.wait

def interrupted(condition, timeout=None):
    if threading.current_thread() is threading.main_thread():
        threading.Condition.wait = wait
        signal.raise_signal(signal.SIGTERM)
    return wait(condition, timeout)

def stop(*_):
    shop.close(50.0)
    print("sent", sum(shop.counts.values()))
    sys.exit()

signal.signal(signal.SIGTERM, stop)
with Client(sys.argv[1], sys.argv[1], "key", limits=SenderLimits(linger_s=3_600.0)) as shop:
    shop.view("customer-1", "item-1")
    threading.Condition.wait = interrupted
"""


def test_a_handler_that_interrupts_closing_waits_until_all_is_sent(shop: Shop) -> None:
    assert run(CLOSE, shop) == "sent 1\n"


LOG = """
import logging, signal, sys
from nearline.client import Client

class Interrupted(logging.StreamHandler):
    def emit(self, record):
        super().emit(record)
        if record.name == "app":
            signal.raise_signal(signal.SIGTERM)

def stop(*_):
    shop.close(50.0)
    print("handled")
    sys.exit()

logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[Interrupted(sys.stdout)])
signal.signal(signal.SIGTERM, stop)
shop = Client(sys.argv[1], sys.argv[1], "key")
shop.view("customer-1", "item-1")
logging.getLogger("app").info("a line of the app")
"""


def test_a_handler_that_interrupts_a_log_line_sends_what_is_queued(shop: Shop) -> None:
    assert run(LOG, shop) == "a line of the app\nhandled\n"


def test_a_question_that_is_answered_after_closing_leaves_no_connection(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, opened = Client(shop.url, shop.url, "key"), list[httpcore.ConnectionInterface]()
    create = httpcore.ConnectionPool.create_connection

    def interrupted(
        pool: httpcore.ConnectionPool, origin: httpcore.Origin
    ) -> httpcore.ConnectionInterface:
        client.close()
        opened.append(create(pool, origin))
        return opened[-1]

    monkeypatch.setattr(httpcore.ConnectionPool, "create_connection", interrupted)

    assert client.tags("ann", timeout_s=50.0).receipt.log_position == "ann"
    assert [connection.is_closed() for connection in opened] == [True]
