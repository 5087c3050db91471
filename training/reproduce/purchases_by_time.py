"""RetailRocket's log split at instants: the product's own pipeline, judged on purchases to come."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from time import perf_counter

from nearline.contracts.event import Event, Kind, Line, Purpose
from nearline.history import day_of, table_of, write_day_file
from nearline.say import say
from nearline.settings import Settings
from nearline.transforms.ranking import SOURCES
from training import datasets, encoder_stage, ranker, ranker_stage, ranker_trial
from training.datasets import split
from training.journal import Journal
from training.label_points import points
from training.ranking_rows import ask, rows_of
from training.recipes import retailrocket
from training.reproduce import purchase_log
from training.reproduce.comparison import Comparison, Gate, Origin, Place, Row, Watch
from training.reproduce.purchase_log import CUSTOMERS, EVENTS, ITEMS
from training.states import FeastStates

_NAMES = {Kind.VIEW: "view_item", Kind.CART: "add_to_cart", Kind.PURCHASE: "purchase"}
_METRICS = ("ndcg_at_10", "lead", "lead_low", "lead_high", "questions")


def run(place: Place, watch: Watch) -> Comparison:
    """Learn with the recipe `retailrocket` up to an instant; rank what is bought after it."""
    started = perf_counter()
    config = retailrocket()
    settings = Settings(home=place.checkpoints / "retailrocket", redis_url="redis://unused:1/0")
    _write(place.data / "retailrocket_behaviour", settings.history)
    dataset = datasets.read(settings.history)
    parts = split(dataset.interactions, config.split)
    journal = Journal()
    watch.stage(say("features, point in time", "特征（按时间点）"), EVENTS)
    states = FeastStates.open(settings, watch.step)
    encoders = encoder_stage.learn(
        dataset, parts, config, settings.home / "checkpoints", watch, journal
    )
    booster = ranker_stage.learn(
        dataset, parts, states, encoders, None, config, place.threads, watch, journal
    )
    if booster is None:
        raise ValueError(
            f"the ranker was left out: {'; '.join(what.en for what in journal.left_out)}"
        )
    shape = config.ranker
    moments = points(
        dataset.interactions,
        parts.validate_until_us,
        parts.test_until_us,
        hours=shape.label_hours,
        per_customer=shape.points_per_customer,
        limit=shape.test_points,
        seed=config.seed,
        only=Kind.PURCHASE,
    )
    retriever = ranker_stage.retriever_at(encoders.judged, dataset, parts.validate_until_us, config)
    asked = ask(moments, dataset, retriever, states)
    exam = ranker_trial.Exam.of(rows_of(asked, states), asked)
    verdict = ranker_trial.judge(exam, ranker.scores(booster, exam.rows), config.seed)
    lead = dict(zip(("lead", "lead_low", "lead_high"), verdict.lead, strict=True))
    segments = ranker_trial.by_segment(exam, verdict, config.seed)
    return Comparison(
        title="RetailRocket, purchases by time (the product's own pipeline)",
        protocol=(
            "The log is cut at two instants by shares of events (70 / 15 / 15 %). After the "
            f"second, at most {shape.test_points:,} moments of customers who buy within the next "
            f"{shape.label_hours:.0f} hours, what they buy is what should stand first. Features as "
            "of each moment (Feast); items bought before do not compete; items that arrived after "
            "the cut count."
        ),
        statistics={"events": EVENTS, "customers": CUSTOMERS, "items": ITEMS},
        metrics=_METRICS,
        rows=(
            Row(
                "ranker",
                Origin.OURS,
                {
                    "ndcg_at_10": verdict.ndcg["ranker"],
                    "questions": float(len(asked)),
                    **lead,
                },
                f"learnt from views, carts and purchases; lead over {verdict.best_source}",
            ),
            Row(
                "sources, fused by rank",
                Origin.OURS,
                {"ndcg_at_10": verdict.ndcg["retrieval"], "questions": float(len(asked))},
            ),
            *(
                Row(f"source {name}", Origin.OURS, {"ndcg_at_10": verdict.ndcg[name]})
                for name in SOURCES
            ),
            *(
                Row(
                    f"ranker, customers {name}",
                    Origin.OURS,
                    {metric: figures[metric] for metric in _METRICS},
                    f"95 % {figures['ndcg_at_10_low']:.4f} to {figures['ndcg_at_10_high']:.4f}",
                )
                for name, figures in segments.items()
            ),
        ),
        gates=(Gate("ranker", "lead_low", 0.0),),
        remarks=(
            *_unproved(segments),
            "The log holds at most one row per customer, item and kind (repeats were merged "
            "upstream) and neither prices nor categories: those features are empty here.",
            "On all that is met, not purchases alone: ranker NDCG@10 "
            f"{journal.metrics.get('rank_ranker_ndcg_at_10', float('nan')):.4f}, lead "
            f"{journal.metrics.get('ranker_lead', float('nan')):.4f}.",
        ),
        seconds={"ranker": perf_counter() - started},
        seed=config.seed,
    )


def _unproved(segments: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Whom the ranker has not been shown to serve better than the best source does."""
    names = [name for name, figures in segments.items() if figures["lead_low"] <= 0]
    if not names:
        return []
    return [f"No lead is proved for customers who are {', '.join(names)}: the interval holds 0."]


def _write(folder: Path, history: Path) -> None:
    """The log as history, once; a history that is there holds the same."""
    if history.exists():
        return
    log = purchase_log.read(folder).log
    columns = (log.customer, log.item, log.kind, log.occurred_at_us)
    rows = sorted(
        zip(*(column.tolist() for column in columns), strict=True), key=lambda row: row[3]
    )
    events = [
        Event(
            event_id=f"rr-{number}",
            type="track",
            name=_NAMES[Kind(kind)],
            customer_id=str(customer),
            occurred_at_us=at_us,
            known_at_us=at_us,
            source="retailrocket",
            lines=(Line(str(item)),),
            consent=(Purpose.PERSONALIZATION,),
        )
        for number, (customer, item, kind, at_us) in enumerate(rows)
    ]
    aside = history.with_name("history-unfinished")
    for day, of_day in groupby(events, key=day_of):
        write_day_file(aside, day, "import-retailrocket-0_0_0.parquet", table_of(list(of_day)))
    aside.rename(history)
