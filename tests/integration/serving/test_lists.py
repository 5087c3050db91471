"""Lists on a real store, a real log and real files: never without consent, never beyond a cap."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis

from nearline import keys
from nearline.contracts.event import Event
from nearline.contracts.position import LogPosition, partition_of
from nearline.embedded.valkey import EmbeddedValkey
from nearline.feast_layout import CUSTOMER_VIEW
from nearline.history import log_file_name, table_of, write_day_file
from nearline.log import claim_partitions
from nearline.online import (
    COMMIT_SCRIPT,
    commit_args,
    customer_columns,
    customer_fields,
    parse_customer,
)
from nearline.settings import Settings
from nearline.transforms import customer
from serving import examples, foretelling
from serving.bundles import Bundle, Part, load
from serving.lists import making
from serving.lists.model import Channel, Left, Made, Purpose, Wanted
from serving.policy.load import shipped

pytestmark = pytest.mark.redis

HERE = Path(__file__).parent
DAY_S = 86_400
ALL = ("--within", "45", "--min-probability", "0")
EVERYTHING = Wanted(Purpose.WIN_BACK, most=10_000, min_probability=0.0)


class Shop:
    """Customers of all sorts, in history and in the store."""

    def __init__(self, home: Path, valkey: redis.Redis, url: str, tiny: Any, seed: int) -> None:
        self.settings = Settings(home=home, redis_url=url)
        self.valkey, self.tiny = valkey, tiny
        self.consents: dict[str, bool] = {}
        self._number = 0
        chance = random.Random(seed)
        events = [one for n in range(120) for one in self._life(f"c-{n:03d}", chance)]
        claim_partitions(valkey, self.settings.partitions)
        by_partition: dict[int, list[Event]] = {}
        for event in sorted(events, key=lambda one: one.known_at_us):
            owner = partition_of(event.customer_id, self.settings.partitions)
            by_partition.setdefault(owner, []).append(event)
        for partition, owned in by_partition.items():
            positions = [LogPosition(partition, n + 1, 0) for n in range(len(owned))]
            name = log_file_name(positions[0], positions[-1])
            write_day_file(self.settings.history, "2026-11-20", name, table_of(owned, positions))
        for customer_id in self.consents:
            own = [event for event in events if event.customer_id == customer_id]
            state = customer.fold(own)
            if state.first_seen_us:
                partition = partition_of(customer_id, self.settings.partitions)
                args = commit_args(
                    CUSTOMER_VIEW, customer_columns(state), 1, LogPosition(partition, 1, 0), 0
                )
                valkey.eval(COMMIT_SCRIPT, 1, CUSTOMER_VIEW.key(customer_id), *args)

    def _life(self, customer_id: str, chance: random.Random) -> list[Event]:
        own: list[Event] = []
        start_days = chance.choice((2, 20, 60))
        for step in range(chance.randrange(1, 9)):
            self._number += 1
            consent = tuple(
                purpose
                for purpose in ("analytics", "personalization", "marketing")
                if purpose == "analytics" or chance.random() < 0.8
            )
            ago_s = (start_days - step / 10) * DAY_S
            name = chance.choice(("view_item", "add_to_cart", "purchase"))
            rows = [chance.randrange(60)]
            own.append(self.tiny.event(self._number, customer_id, name, rows, ago_s, consent))
        self.consents[customer_id] = "marketing" in own[-1].consent
        return own

    def cap(self, customer_id: str, channel: str, times: int, ago_h: float = 1.0) -> None:
        for number in range(times):
            at_us = self.tiny.NOW_US - int(ago_h * 3_600_000_000) - number
            self.valkey.zadd(keys.cap(channel, customer_id), {f"r{number}": at_us})

    def list(self, bundle: Bundle, wanted: Wanted = EVERYTHING, *leave_out: str) -> Made:
        return making.make(
            self.settings, bundle, shipped(), wanted, frozenset(leave_out), self.tiny.NOW_US
        )


@pytest.fixture(scope="session")
def bundle_folder(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tiny.write(tmp_path_factory.mktemp("bundle") / "1")
    return folder


@pytest.fixture
def bundle(bundle_folder: Path) -> Bundle:
    return load(bundle_folder, "1", (Part.SCORES,))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("purpose", list(Purpose))
def test_nobody_without_consent_and_nobody_capped_is_ever_listed(
    seed: int, purpose: Purpose, tmp_path: Path, valkey: redis.Redis,
    valkey_server: EmbeddedValkey, tiny: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(making, "PAGE", 17)  # Several pages, the last one not full.
    shop = Shop(tmp_path, valkey, valkey_server.url, tiny, seed)
    chance = random.Random(seed)
    capped = set(chance.sample(sorted(shop.consents), 30))
    for customer_id in capped:
        shop.cap(customer_id, "email", times=3, ago_h=100.0)  # three a week are allowed
    for customer_id in set(shop.consents) - capped:
        shop.cap(customer_id, "email", times=3, ago_h=170.0)  # more than a week ago
    left_out = chance.sample(sorted(shop.consents), 5)
    wanted = replace(EVERYTHING, purpose=purpose, channel=Channel.EMAIL)

    made = shop.list(bundle, wanted, *left_out)

    listed = {entry.customer_id for entry in made.entries}
    assert listed
    assert all(shop.consents[customer_id] for customer_id in listed)
    assert not listed & capped
    assert not listed & set(left_out)
    assert made.left[Left.CAPPED] > 0
    assert made.left[Left.NO_CONSENT] == sum(not granted for granted in shop.consents.values())
    assert len(made.entries) + sum(made.left.values()) == made.known == len(shop.consents)
    ranks = [entry.rank_by for entry in made.entries]
    assert ranks == sorted(ranks, reverse=True)
    assert all(entry.why for entry in made.entries)
    if purpose is Purpose.WIN_BACK:
        by_hand = {
            customer_id
            for customer_id, granted in shop.consents.items()
            if granted and customer_id not in capped | set(left_out)
        }
        assert listed <= by_hand
        assert made.expected == pytest.approx(sum(entry.probability for entry in made.entries))


def test_the_best_of_many_pages_are_the_best_of_all(
    tmp_path: Path, valkey: redis.Redis, valkey_server: EmbeddedValkey, tiny: Any,
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    shop = Shop(tmp_path, valkey, valkey_server.url, tiny, 9)
    whole = shop.list(bundle)
    monkeypatch.setattr(making, "PAGE", 7)

    best = shop.list(bundle, replace(EVERYTHING, most=10))

    assert best.entries == whole.entries[:10]
    assert best.left[Left.BEYOND_MOST] == len(whole.entries) - 10
    assert (whole.bundle, whole.calibrated_to) == ("1", "2026-11-20T00:00:00Z")


def test_a_withdrawal_on_the_log_that_history_does_not_hold_yet_counts(
    tmp_path: Path, valkey: redis.Redis, valkey_server: EmbeddedValkey, tiny: Any, bundle: Bundle
) -> None:
    import asyncio

    import redis.asyncio

    from nearline.log import EventLog

    shop = Shop(tmp_path, valkey, valkey_server.url, tiny, 5)
    before = shop.list(bundle)
    gone = before.entries[0].customer_id

    async def withdraw() -> None:
        client = redis.asyncio.Redis.from_url(valkey_server.url)
        await EventLog(client, shop.settings.partitions).append(
            [tiny.event(99_999, gone, "view_item", [1], 0.0, ("analytics", "personalization"))]
        )
        await client.aclose()

    asyncio.run(withdraw())
    after = shop.list(bundle)

    assert gone not in {entry.customer_id for entry in after.entries}
    assert after.left[Left.NO_CONSENT] == before.left[Left.NO_CONSENT] + 1


def test_one_row_that_cannot_be_read_costs_no_more_than_itself(
    tmp_path: Path, valkey: redis.Redis, valkey_server: EmbeddedValkey, tiny: Any, bundle: Bundle
) -> None:
    shop = Shop(tmp_path, valkey, valkey_server.url, tiny, 6)
    before = shop.list(bundle)
    broken = before.entries[0].customer_id
    valkey.hset(CUSTOMER_VIEW.key(broken), CUSTOMER_VIEW.fields["views_total"], b"\xff")
    no_row = before.entries[1].customer_id
    valkey.delete(CUSTOMER_VIEW.key(no_row))
    valkey.set(CUSTOMER_VIEW.key(no_row), "something else")

    after = shop.list(bundle)

    assert after.entries == before.entries[2:]
    assert after.left[Left.UNKNOWN] == before.left.get(Left.UNKNOWN, 0) + 2


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the logarithm of what is below 0
@pytest.mark.parametrize("raises", [False, True])
def test_a_customer_whom_no_model_can_bear_is_counted_and_the_others_stand_in_order(
    tmp_path: Path, valkey: redis.Redis, valkey_server: EmbeddedValkey, tiny: Any,
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    raises: bool,
) -> None:  # fmt: skip
    shop = Shop(tmp_path, valkey, valkey_server.url, tiny, 6)
    before = shop.list(bundle)
    broken = before.entries[5].customer_id
    partition = partition_of(broken, shop.settings.partitions)
    key, fields = CUSTOMER_VIEW.key(broken), customer_fields(partition)
    held: Any = valkey.hmget(key, fields)  # type: ignore[arg-type]
    days = ((90_000, 1), (0, 1))  # The last day of purchases before the first.
    odd = replace(parse_customer(partition, held).state, purchase_days=days, orders_total=2)
    flat = CUSTOMER_VIEW.encode(customer_columns(odd), 1)
    valkey.hset(key, mapping=dict(zip(flat[::2], flat[1::2], strict=True)))
    foretell = foretelling.foretell

    def raising(models: Any, states: Any, *more: Any) -> Any:
        if raises and odd in states:
            raise RuntimeError(f"a bug met {broken}")
        return foretell(models, states, *more)

    monkeypatch.setattr(foretelling, "foretell", raising)
    whole, best = shop.list(bundle), shop.list(bundle, replace(EVERYTHING, most=4))

    others = tuple(entry for entry in before.entries if entry.customer_id != broken)
    assert whole.entries == others
    assert best.entries == others[:4]
    assert whole.left[Left.UNSCORED] == best.left[Left.UNSCORED] == 1
    assert len(whole.entries) + sum(whole.left.values()) == whole.known
    lines = [one.getMessage() for one in caplog.records if one.msg.startswith("scores failed")]
    assert len(lines) == 2  # One for each list.
    assert broken not in caplog.text


def test_a_category_that_nobody_has_met_is_told_with_what_is_near(
    tmp_path: Path, valkey: redis.Redis, valkey_server: EmbeddedValkey, tiny: Any, bundle: Bundle
) -> None:
    shop = Shop(tmp_path, valkey, valkey_server.url, tiny, 6)
    wanted = replace(EVERYTHING, purpose=Purpose.DEMAND)

    misspelt = shop.list(bundle, replace(wanted, categories=("c1", "c11")))
    right = shop.list(bundle, replace(wanted, categories=("c1",)))

    assert {entry.category for entry in misspelt.entries} == {"c1"}
    assert misspelt.entries == right.entries
    assert "the category 'c11' lately. Did you mean c1" in misspelt.notes[0].en
    assert not [note for note in right.notes if "category" in note.en]


def test_what_the_bundle_cannot_say_is_told_with_what_it_can(bundle: Bundle, tiny: Any) -> None:
    with pytest.raises(making.NoModel, match=r"no churn within 15 days; it knows 14, 45"):
        making.fitting(replace(EVERYTHING, horizon_days=15), bundle)
    assert making.fitting(EVERYTHING, bundle).horizon_days == 14
    bare = replace(bundle, scores=replace(bundle.scores, models=()))
    with pytest.raises(making.NoModel, match="has no score of repurchase"):
        making.fitting(replace(EVERYTHING, purpose=Purpose.REPURCHASE), bare)


@pytest.fixture
def registered(tmp_path: Path, valkey: redis.Redis, valkey_server: Any, tiny: Any) -> Shop:
    shop = Shop(tmp_path, valkey, valkey_server.url, tiny, 3)
    subprocess.run(
        [sys.executable, str(HERE / "publish.py"), str(tmp_path), "0"],
        check=True,
        capture_output=True,
    )
    return shop


def command(shop: Shop, *words: str) -> list[str]:
    return [sys.executable, "-m", "nearline", "lists", *words]


def environment(shop: Shop) -> dict[str, str]:
    return {
        **os.environ,
        "NEARLINE_HOME": str(shop.settings.home),
        "NEARLINE_REDIS_URL": shop.settings.redis_url,
        "NEARLINE_LANG": "en",
        "MLFLOW_TRACKING_URI": "",
    }


def run(shop: Shop, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(shop, *words), env=environment(shop), capture_output=True, text=True, check=False
    )


def test_the_command_writes_a_file_for_its_owner_and_says_what_it_left_out(
    registered: Shop, tmp_path: Path
) -> None:
    out = tmp_path / "leaving.json"
    # The events lie where the tiny shop's clock stands; so long ago, only 45 days know no bound.
    done = run(
        registered, "win-back", "--within", "45", "--min-probability", "0", "--out", str(out)
    )

    assert done.returncode == 0, done.stderr
    whole = json.loads(out.read_text(encoding="utf-8"))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert whole["customers"]
    granted = {name for name, yes in registered.consents.items() if yes}
    assert {one["customer_id"] for one in whole["customers"]} <= granted
    assert "have not consented to marketing" in done.stderr
    assert "calibrated with events up to 2026-11-20T00:00:00Z" in done.stderr
    assert not [name for name in registered.consents if name in done.stderr + done.stdout]

    shown = run(registered, "win-back", *ALL)
    assert shown.returncode == 0
    assert whole["customers"][0]["customer_id"] in shown.stdout

    wrong = run(registered, "win-back", "--out", str(tmp_path / "list.txt"))
    assert (wrong.returncode, "name it .csv or .json" in wrong.stderr) == (2, True)


@contextlib.contextmanager
def failing_api(answers: int) -> Iterator[int]:
    """An API's port that answers so many questions and refuses the rest."""
    left = [answers]

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            left[0] -= 1
            told = examples.RECOMMENDATION if left[0] >= 0 else {"title": "out of order"}
            content = json.dumps(told).encode()
            self.send_response(200 if left[0] >= 0 else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_list_whose_items_are_cut_short_keeps_those_that_it_has(
    registered: Shop, tmp_path: Path
) -> None:
    out = tmp_path / "leaving.csv"
    wanted = (*ALL, "--most", "6", "--out", str(out), "--with-items", "2", "--per-second", "1000")
    with failing_api(answers=4) as port:
        done = subprocess.run(
            command(registered, "win-back", *wanted),
            env={**environment(registered), "NEARLINE_API_HTTP_PORT": str(port)},
            capture_output=True,
            text=True,
            check=False,
        )

    beside = tmp_path / "leaving.unanswered.csv"
    assert done.returncode == 1
    assert "out of order" in done.stderr
    assert "2  wait for items" in done.stderr
    assert str(beside) in done.stderr
    with out.open(newline="") as kept, beside.open(newline="") as waiting:
        listed, others = list(csv.DictReader(kept)), list(csv.DictReader(waiting))
    assert (len(listed), len(others)) == (4, 2)
    assert all(one["item_ids"] for one in listed)
    assert not any(one["item_ids"] for one in others)
    assert not {one["customer_id"] for one in listed} & {one["customer_id"] for one in others}
    assert stat.S_IMODE(beside.stat().st_mode) == 0o600


def test_a_list_that_is_interrupted_leaves_no_file(registered: Shop, tmp_path: Path) -> None:
    out = tmp_path / "leaving.csv"
    before = set(tmp_path.iterdir())
    with subprocess.Popen(
        command(registered, "win-back", *ALL, "--out", str(out)),
        env=environment(registered),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        # Imports are over by then: Python may end by the signal itself where it meets one of them.
        while process.poll() is None and not (tmp_path / making.SPILL).exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)

    left = {path.name for path in set(tmp_path.iterdir()) - before}
    assert left <= {"leaving.csv", "bundles", "lists.tmp"}
    if out.exists():  # Done before the signal came, which may have met an interpreter that ends.
        again = tmp_path / "again.csv"
        assert run(registered, "win-back", *ALL, "--out", str(again)).returncode == 0
        assert customers_of(out) == customers_of(again) != []
    else:
        assert process.returncode == 130
        assert b"Traceback" not in told


def customers_of(path: Path) -> list[str]:
    """Those of a whole list."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return sorted(row["customer_id"] for row in csv.DictReader(text.splitlines()))


def test_without_a_champion_it_says_what_to_do(
    tmp_path: Path, valkey: redis.Redis, valkey_server: EmbeddedValkey, tiny: Any
) -> None:
    shop = Shop(tmp_path, valkey, valkey_server.url, tiny, 3)

    done = run(shop, "repurchase")

    assert done.returncode == 1
    assert "no bundle carries the alias `champion`" in done.stderr
    assert "Traceback" not in done.stderr
