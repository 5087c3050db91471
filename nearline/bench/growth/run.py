"""One size after another: a bundle, the rows, then a replica of its own that answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import redis

from nearline.bench import inprocess
from nearline.bench.growth import rows
from nearline.bench.growth.shapes import MAKER, Made, Make, Size, Step
from nearline.bench.growth.shop import Shop, customer_id
from nearline.bench.plan import Progress
from nearline.bench.processes import run
from nearline.embedded.valkey import EmbeddedValkey, free_port
from nearline.settings import Settings, to_environ

ASKED = 400  # Customers who ask, spread over all there are.
_LIST_LENGTH = 10
_READY_LIMIT_S = 1_800.0
_STEPS = 6  # What `training.growth` says.


def measure(
    folder: Path, items: int, customers: int, calls: int, seed: int, progress: Progress
) -> Size:
    """Measure one size in a folder of its own, which is removed afterwards, whatever happens."""
    name = f"{short(items)} items, {short(customers)} customers"
    name_zh = f"{short(items)} 商品，{short(customers)} 顾客"
    home = folder / f"{items}-{customers}"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    settings = replace(Settings(), home=home, redis_port=free_port(), served_sample=0.0)
    try:
        advance = progress(f"bundle of {name}", f"{name_zh}：模型包", _STEPS)
        made = make(home / "bundle", items, seed, advance)
        with EmbeddedValkey(home / "valkey", settings.redis_port) as valkey:
            client = redis.Redis.from_url(valkey.url)
            # Rows are made in seconds; what is measured is their size, not the disk.
            client.config_set("appendonly", "no")
            shop = Shop.of(items, seed)
            of_items = rows.write_items(
                client, shop, seed, _counted(progress, f"rows of {name}: items", items)
            )
            of_customers, events = rows.write_customers(
                client,
                shop,
                customers,
                seed,
                _counted(progress, f"rows of {name}: customers", customers),
            )
            client.close()
            del shop
            advance = progress(f"answers with {name}", f"{name_zh}：作答", 1)
            inside = ask(settings, home / "bundle", customers, calls)
            advance()
        return Size(of_items, of_customers, events, made, inside)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def make(folder: Path, items: int, seed: int, advance: Callable[[], None]) -> Made:
    """Let training's own parts write a bundle."""

    def line(data: bytes) -> None:
        msgspec.json.decode(data, type=Step)
        advance()

    answer = run(MAKER, Make(str(folder), items, seed), line)
    return msgspec.json.decode(answer, type=Made)


def ask(settings: Settings, bundle: Path, customers: int, calls: int) -> inprocess.InProcess:
    """Let a fresh process load everything and answer."""
    step = max(1, customers // ASKED)
    question = inprocess.Question(
        customers=[customer_id(number) for number in range(0, customers, step)][:ASKED],
        k=_LIST_LENGTH,
        calls=calls,
        ready_limit_s=_READY_LIMIT_S,
        bundle=str(bundle),
    )
    answer = run(inprocess.MODULE, question, environ=to_environ(settings))
    return msgspec.json.decode(answer, type=inprocess.InProcess)


def parsed(text: str) -> tuple[int, ...]:
    """Sizes as people write them: `10k,100k,1m`; raises ValueError for what is none."""
    units = {"k": 1_000, "m": 1_000_000}
    found = []
    for word in text.lower().split(","):
        word = word.strip()
        unit = units.get(word[-1:], 1)
        size = int(float(word[:-1] if unit > 1 else word) * unit)
        if size < 1:
            raise ValueError(f"{word!r} is no size: expected such as 10k or 1m")
        found.append(size)
    return tuple(found)


def short(size: int) -> str:
    """The same the other way round."""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if size >= unit and size % unit == 0:
            return f"{size // unit}{name}"
    return f"{size:,}"


def _counted(progress: Progress, en: str, total: int) -> rows.Advance:
    """A bar that moves in hundredths, however many rows come at once."""
    parts = min(100, total)
    advance, shown, done = progress(en, en, parts), 0, 0

    def more(count: int) -> None:
        nonlocal shown, done
        done += count
        while shown < done * parts // total:
            advance()
            shown += 1

    return more
