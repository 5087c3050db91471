from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nearline.bench.load import timed
from nearline.bench.row import full_row
from nearline.feast_layout import CUSTOMER_VIEW
from nearline.transforms.columns import customer_state
from nearline.transforms.customer import RECENT_LIMIT


@pytest.mark.parametrize("clients", [1, 3])
def test_every_call_is_made_once_and_timed(clients: int) -> None:
    lock, called = threading.Lock(), []

    def call(number: int) -> None:
        with lock:
            called.append(number)

    done = timed(10, clients, call)

    assert sorted(called) == list(range(10))
    assert len(done.samples_ms) == 10
    assert done.wall_s > 0


def test_clients_call_at_the_same_time() -> None:
    meet = threading.Barrier(4, timeout=10.0)  # Passes only when four wait at once.

    timed(4, 4, lambda _: meet.wait())


def test_a_call_that_fails_ends_it() -> None:
    def call(number: int) -> None:
        if number == 3:
            raise RuntimeError("the fourth")

    with pytest.raises(RuntimeError, match="the fourth"):
        timed(10, 2, call)


def test_who_has_begun_does_not_wait_for_clients_that_never_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit, begun = ThreadPoolExecutor.submit, list[object]()

    def interrupted(pool: ThreadPoolExecutor, *told: Any) -> Any:
        if len(begun) == 2:
            raise KeyboardInterrupt
        begun.append(told)
        return submit(pool, *told)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)

    with pytest.raises(KeyboardInterrupt):
        timed(10, 4, lambda number: None)


def test_the_floors_row_is_as_large_as_a_real_customers() -> None:
    state = customer_state(full_row())

    assert len(state.recent) == RECENT_LIMIT
    assert full_row().keys() == CUSTOMER_VIEW.columns.keys()
