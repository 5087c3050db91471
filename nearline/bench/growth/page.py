"""The growth of all sizes as a page and a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from nearline.bench.growth.run import short
from nearline.bench.growth.shapes import Size
from nearline.bench.machine import Machine
from nearline.bench.stats import percentile

_MB, _PER = 2**20, 100_000
STAGES = ("read", "find", "rank", "rules", "explain", "keep", "json")
_HOW = (
    "One run, one size after another, each answered by a fresh process without Ray or HTTP "
    "(`serving.floor`), one question at a time. The shop is made up: item vectors of length 1 "
    "round the centre of their category (64 dimensions, one category for each thousand items), "
    "20 companions an item in each of three co-visit tables, the encoder's shipped shape, 200 "
    "trees of depth 6; customers of 500 different pasts, a row each in the feature store's own "
    "layout. Nothing is learnt, so nothing here says how good the lists are. Milliseconds, p50 / "
    "p99 by nearest rank; find contains the encoder and the index."
)


@dataclass(frozen=True, slots=True)
class Growth:
    """All sizes that were measured, smallest first, and on what."""

    date: str
    command: str
    version: str
    seed: int
    machine: Machine
    load_after: float
    sizes: tuple[Size, ...]


def to_json(growth: Growth) -> bytes:
    """Everything that was measured, single answers' times included."""
    return msgspec.json.format(msgspec.json.encode(growth), indent=1) + b"\n"


def to_markdown(growth: Growth, picture: str) -> str:
    """The page; `picture` is the file beside it."""
    machine, sizes = growth.machine, growth.sizes
    lines = [
        f"# Growth, measured on {growth.date[:10]}",
        "",
        f"    {growth.command}",
        "",
        f"Nearline {growth.version}, seed {growth.seed}, {growth.date}. {machine.cpu}, "
        f"{machine.cores} cores, {machine.memory_gb} GB, {machine.system}, Python "
        f"{machine.python}. Load before the start {machine.load_1min}, after the end "
        f"{growth.load_after}.",
        "",
        _HOW,
        "",
        f"![Time and memory by size]({picture})",
        "",
        "## Time of an answer, in one process",
        "",
        _row("", *(f"{short(one.items.rows)} items" for one in sizes)),
        _row("---", *("---:" for _ in sizes)),
        _row("customers", *(f"{one.customers.rows:,}" for one in sizes)),
        _row("candidates (median)", *(f"{_candidates(one):.0f}" for one in sizes)),
        _row("**whole answer, to JSON**", *(_times(one.inside.answers_ms) for one in sizes)),
        *(
            _row(stage, *(_times(one.inside.stages_ms[stage]) for one in sizes))
            for stage in (*STAGES[:2], "encoder", "index", *STAGES[2:])
        ),
        "",
        "## Loading, and memory",
        "",
        _row("", *(f"{short(one.items.rows)} items" for one in sizes)),
        _row("---", *("---:" for _ in sizes)),
        *(_row(title, *map(tell, sizes)) for title, tell in _MEMORY),
        "",
        "## Searching the index",
        "",
        "The 100 nearest of one customer's query vector, one thread; recall against the exact "
        "search, over 400 customers. Training's own gate chooses: exact below 200,000 items, "
        "above it the narrowest graph (HNSW) that finds 95 %.",
        "",
        "| items | search | p50 / p99 ms | recall@100 | |",
        "|---:|---|---:|---:|---|",
        *(line for one in sizes for line in _searches(one)),
        "",
        *(f"- {short(one.items.rows)}: {one.made.why}." for one in sizes),
        *(
            f"- {short(one.items.rows)}: answers were degraded: {', '.join(one.inside.degraded)}."
            for one in sizes
            if one.inside.degraded
        ),
        "",
    ]
    return "\n".join(lines)


def draw(growth: Growth, path: Path) -> None:
    """Three plots side by side: time by stage, memory, recall against time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    sizes = growth.sizes
    names = [short(one.items.rows) for one in sizes]
    figure, (times, memory, recall) = pyplot.subplots(1, 3, figsize=(13, 4), layout="constrained")
    bottom = [0.0] * len(sizes)
    for stage in STAGES:
        heights = [percentile(one.inside.stages_ms[stage], 0.5) for one in sizes]
        times.bar(names, heights, bottom=bottom, label=stage)
        bottom = [a + b for a, b in zip(bottom, heights, strict=True)]
    times.plot(names, [percentile(one.inside.answers_ms, 0.99) for one in sizes], "k_", ms=30)
    times.set(title="Answer: p50 by stage, p99 as a line", ylabel="ms", xlabel="items")
    times.legend(fontsize="small")
    of_size = {
        "replica": [one.inside.memory.loaded_items for one in sizes],
        "Valkey, items": [one.items.bytes for one in sizes],
        "Valkey, customers": [one.customers.bytes for one in sizes],
    }
    for name, taken in of_size.items():
        megabytes = [size / _MB for size in taken]
        memory.plot([one.items.rows for one in sizes], megabytes, marker="o", label=name)
    memory.set(title="Memory", ylabel="MB", xlabel="items (and customers)")
    memory.set(xscale="log", yscale="log")
    memory.legend(fontsize="small")
    for one, name in zip(sizes, names, strict=True):
        found = [tried for tried in one.made.tried if tried.kind == "hnsw"]
        if found:
            recall.plot(
                [tried.p50_ms for tried in found],
                [tried.recall_at_100 for tried in found],
                marker="o",
                label=f"HNSW, {name}",
            )
        recall.plot([one.made.tried[0].p50_ms], [1.0], "x", label=f"exact, {name}")
    recall.axhline(0.95, color="grey", lw=0.8, ls="--")
    recall.set(title="Index: recall@100 against time", ylabel="recall", xlabel="ms (p50)")
    recall.set(xscale="log")
    recall.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def summary(one: Size) -> str:
    """One size in a line, for a terminal."""
    return (
        f"{short(one.items.rows)} items, {short(one.customers.rows)} customers: answer "
        f"{_times(one.inside.answers_ms)} ms, index {one.made.chosen}, bundle loaded in "
        f"{one.inside.load_bundle_s:.1f} s, items in {one.inside.load_items_s:.1f} s, replica "
        f"{one.inside.memory.answered / _MB:,.0f} MB"
    )


def _candidates(one: Size) -> float:
    return percentile([float(count) for count in one.inside.candidates], 0.5)


def _times(samples_ms: Sequence[float]) -> str:
    return f"{percentile(samples_ms, 0.5):.2f} / {percentile(samples_ms, 0.99):.2f}"


def _per(size: int, rows: int) -> str:
    return f"{size / _MB:,.0f} MB ({size / _MB / rows * _PER:,.0f} MB per 100k)"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _searches(one: Size) -> list[str]:
    return [
        _row(
            short(one.items.rows),
            "exact" if tried.kind == "flat" else f"HNSW, {tried.width} wide",
            f"{tried.p50_ms:.2f} / {tried.p99_ms:.2f}",
            f"{tried.recall_at_100:.3f}",
            "serves" if _serves(one, tried.kind, tried.recall_at_100) else "",
        )
        for tried in one.made.tried
    ]


def _serves(one: Size, kind: str, recall: float) -> bool:
    """The exact one, or the narrowest graph that passes."""
    if kind != one.made.chosen:
        return False
    passing = [tried.recall_at_100 for tried in one.made.tried if tried.recall_at_100 >= 0.95]
    return kind == "flat" or recall == passing[1]


_MEMORY: tuple[tuple[str, Callable[[Size], str]], ...] = (
    ("files of the bundle", lambda one: f"{sum(one.made.file_bytes.values()) / _MB:,.0f} MB"),
    ("load a bundle", lambda one: f"{one.inside.load_bundle_s:.1f} s"),
    ("load the item table", lambda one: f"{one.inside.load_items_s:.1f} s"),
    (
        "replica before loading",
        lambda one: f"{one.inside.memory.imported / _MB:,.0f} MB",
    ),
    (
        "+ bundle",
        lambda one: _per(
            one.inside.memory.loaded_bundle - one.inside.memory.imported, one.items.rows
        ),
    ),
    (
        "+ item table",
        lambda one: _per(
            one.inside.memory.loaded_items - one.inside.memory.loaded_bundle, one.items.rows
        ),
    ),
    ("replica, answering", lambda one: _per(one.inside.memory.answered, one.items.rows)),
    ("Valkey, item rows", lambda one: _per(one.items.bytes, one.items.rows)),
    ("Valkey, customer rows", lambda one: _per(one.customers.bytes, one.customers.rows)),
    ("events a customer (mean)", lambda one: f"{one.events_per_customer:.0f}"),
)
