"""Histories that no shop would wish for: each trains or is refused in a sentence.

One registry for all, so that each case meets the champion that an honest history made; it stays.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from nearline import registry
from nearline.cli import main
from nearline.contracts.bundle import CHALLENGER, CHAMPION, digests_of
from nearline.contracts.event import Event, Line
from nearline.transforms.buckets import DAY_US, HOUR_US, MINUTE_US
from tests.unit.training.histories import START_US, met, two_tastes, write

pytestmark = pytest.mark.slow

IN_9999_US = 253_402_300_000_000_000
FEW = {"customers": 20, "items": 12, "days": 20}


def shop() -> list[Event]:
    return two_tastes(**FEW)


def nothing() -> list[Event]:
    return []


def one_customer() -> list[Event]:
    return [met("c1", f"i{n % 12}", START_US + n * 3 * HOUR_US) for n in range(150)]


def one_item() -> list[Event]:
    return [met(f"c{n % 20}", "i1", START_US + n * HOUR_US) for n in range(300)]


def one_customer_and_item() -> list[Event]:
    return [met("c1", "i1", START_US + n * HOUR_US) for n in range(60)]


def one_event() -> list[Event]:
    return [met("c1", "i1", START_US)]


def events_without_items() -> list[Event]:
    return [replace_lines(event, ()) for event in shop()]


def names_that_mean_nothing() -> list[Event]:
    return [met("c1", "i1", START_US + n * HOUR_US, name="scrolled") for n in range(60)]


def items_that_each_come_once() -> list[Event]:
    return [met(f"c{n % 20}", f"i{n}", START_US + n * HOUR_US) for n in range(300)]


def nobody_ever_leaves() -> list[Event]:
    """Every label of churn is 0."""
    return [
        met(f"c{who:02d}", f"i{(day + who + n) % 12}", START_US + day * DAY_US + n * MINUTE_US)
        for who in range(20)
        for day in range(30)
        for n in range(2)
    ]


def prices_and_categories_missing() -> list[Event]:
    return [
        replace_lines(event, tuple(Line(line.item_id) for line in event.lines)) for event in shop()
    ]


def all_consent_refused() -> list[Event]:
    return [met(f"c{n % 9}", f"i{n % 7}", START_US + n * HOUR_US, consent=("analytics",))
            for n in range(200)]  # fmt: skip


def all_at_one_instant() -> list[Event]:
    return [met(f"c{n % 20}", f"i{n % 12}", START_US) for n in range(240)]


def all_within_a_second() -> list[Event]:
    return [met(f"c{n % 20}", f"i{n % 12}", START_US + n) for n in range(240)]


def absurd_prices() -> list[Event]:
    absurd = [10**12, -(10**12), 1, 0, None]
    return [
        replace_lines(
            event,
            tuple(
                Line(line.item_id, 10**6 if n % 3 else 0, absurd[n % 5], line.category)
                for line in event.lines
            ),
        )
        for n, event in enumerate(shop())
    ]


def ids_in_every_script() -> list[Event]:
    def spelt(text: str) -> str:
        return f"客户 é\U0001f600'\"\\;--{text}" if text else text

    return [
        change(
            event,
            customer_id=spelt(event.customer_id),
            lines=tuple(
                Line(spelt(line.item_id), 1, line.price_cents, spelt(line.category or ""))
                for line in event.lines
            ),
        )
        for event in shop()
    ]


def a_clock_that_jumped_ahead() -> list[Event]:
    return [*shop(), *(met(f"c00{n}", "i01", IN_9999_US + n) for n in range(5))]


def a_clock_that_stood_at_the_epoch() -> list[Event]:
    return [*shop(), *(met(f"c00{n}", "i01", 1 + n) for n in range(5))]


TRAIN = [
    one_customer,
    nobody_ever_leaves,
    prices_and_categories_missing,
    absurd_prices,
    ids_in_every_script,
    items_that_each_come_once,
]
REFUSED = [
    nothing,
    one_item,
    one_customer_and_item,
    one_event,
    events_without_items,
    names_that_mean_nothing,
    all_consent_refused,
    all_at_one_instant,
]
EITHER = [all_within_a_second, a_clock_that_jumped_ahead, a_clock_that_stood_at_the_epoch]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The registry's address and the folder of its champion's files."""
    from training.tracking import Registry

    home = tmp_path_factory.mktemp("champion")
    uri = f"sqlite:///{home / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        assert train(home, shop(), patch) == 0
    Registry(uri, home / "mlflow_artifacts").promote("1")
    (files,) = (home / "mlflow_artifacts").glob("*/artifacts/bundle")
    return uri, files


@pytest.mark.parametrize("history", [*TRAIN, *REFUSED, *EITHER], ids=lambda make: make.__name__)
def test_a_bad_history_trains_or_is_refused_in_a_sentence(
    history: Callable[[], list[Event]],
    registered: tuple[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri, files = registered
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    before, challenger = digests_of(files), registry.resolve(uri, CHALLENGER)

    code = train(tmp_path, history(), monkeypatch)

    said = capsys.readouterr()
    assert registry.resolve(uri, CHAMPION) == "1"
    assert digests_of(files) == before
    assert "Traceback" not in said.err + said.out
    assert code in {0, 1}
    if history not in EITHER:
        assert code == (1 if history in REFUSED else 0), said.err
    if code:
        sentence = said.err.replace("\n", " ")
        assert "The champion stays as it is." in sentence
        assert not any(f"c{n} " in sentence for n in range(20))
        assert registry.resolve(uri, CHALLENGER) == challenger  # nothing was registered
    else:
        assert registry.resolve(uri, CHALLENGER) not in {challenger, CHAMPION}


def train(home: Path, events: list[Event], patch: pytest.MonkeyPatch) -> int:
    """`nearline train --quick` in this process, as the shell sees it; its exit code."""
    patch.setenv("NEARLINE_HOME", str(home))
    patch.setenv("NEARLINE_LANG", "en")
    patch.setattr(sys, "argv", ["nearline", "train", "--quick"])
    write(home / "history", events)
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def replace_lines(event: Event, lines: tuple[Line, ...]) -> Event:
    return change(event, lines=lines)


def change(event: Event, **values: object) -> Event:
    return msgspec.structs.replace(event, **values)  # type: ignore[arg-type]
