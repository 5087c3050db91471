"""The ranker of a run: lessons from moments after T1, a trial on moments after T2.

Moments of recorded behaviour teach it, and where enough was clicked of what Nearline itself had
shown, those lists teach it too, corrected for how often each place is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nearline import served_files
from nearline.say import Words, say
from nearline.transforms.buckets import HOUR_US
from training import baselines, click_lessons, covisits, encoder, ranker, ranker_trial
from training.config import TrainingConfig
from training.datasets import Dataset, Split
from training.encoder_model import Encoder
from training.encoder_stage import Encoders
from training.evaluation import beyond
from training.journal import Journal, Watch, quantile
from training.label_points import Point, points
from training.leaks import check_candidates, check_labels
from training.ranking_rows import Question, ask, lessons, rows_of
from training.retrieval import Retriever
from training.skew.logged_lessons import lessons_from_log
from training.skew.logged_lessons import rows_of as logged_rows
from training.states import States
from training.trial import Trial

_NEVER_SHOWN = 1e-5  # What a place that no list reached is estimated at, and less.
_FEWEST_LESSONS = 20  # Questions that the ranker needs to learn from, and half to stop by.


def learn(
    dataset: Dataset,
    parts: Split,
    states: States,
    encoders: Encoders,
    served: Path | None,
    config: TrainingConfig,
    threads: int,
    watch: Watch,
    journal: Journal,
) -> Any | None:
    """Learn from logged and recorded moments after T1, judge on those after T2.

    `served` is the folder of logged answers (see `nearline.served_files`), if there is one.
    None when there is too little to learn from; the journal says why.
    """
    shape, seed = config.ranker, config.seed
    moments = _moments(dataset, parts.train_until_us, parts.validate_until_us, config, test=False)
    watch.stage(say("ranker: features as of each moment", "排序：按时间点取特征"), 3)
    retriever = retriever_at(encoders.first, dataset, parts.train_until_us, config)
    asked = ask(moments, dataset, retriever, states)
    _check(asked, dataset, parts.train_until_us)
    watch.step()
    later_us = quantile([one.as_of_us for one in asked], 1.0 - shape.validation_share)
    window_us = int(shape.label_hours * HOUR_US)
    teach = [one for one in asked if one.as_of_us + window_us <= later_us]
    stop = [one for one in asked if one.as_of_us > later_us]
    teach = lessons(teach, shape.negatives_per_point, seed)
    stop = lessons(stop, shape.negatives_per_point, seed)
    logged = lessons_from_log(
        served_files.read(served, parts.train_until_us, later_us) if served else (),
        dataset,
        parts.train_until_us,
        later_us,
        hours=shape.label_hours,
        negatives=shape.negatives_per_point,
        per_customer=shape.points_per_customer,
        limit=shape.train_points,
        seed=seed,
    )
    check_labels(logged.labels(), dataset, window_us, later_us, "logged answers")
    journal.metrics["logged_lessons"] = float(len(logged.lessons))
    if logged.lessons:  # What production saw comes first; recomputed moments fill up.
        watch.tell(logged.told())
        room = shape.train_points - len(logged.lessons)
        teach = teach[len(teach) - room :] if room < len(teach) else teach
    found = len(teach) + len(logged.lessons)
    if found < _FEWEST_LESSONS or len(stop) < _FEWEST_LESSONS // 2:
        why = Words(
            f"the ranker: it needs {_FEWEST_LESSONS} moments at which retrieval named what was "
            f"met next, and found {found} to learn from and {len(stop)} to stop by",
            f"排序模型：需要 {_FEWEST_LESSONS} 个召回命中后续行为的时刻，"
            f"现有 {found} 个可学习、{len(stop)} 个可用于提前停止",
        )
        journal.leave_out(why, watch)
        return None
    train, validation = rows_of(teach, states), rows_of(stop, states)
    if logged.lessons:
        train = logged_rows(logged.lessons).and_then(train)
    shown = click_lessons.of_exposures(
        dataset, retriever, states, parts.train_until_us, later_us, shape, seed, threads
    )
    _note_exposures(shown, config, watch, journal)
    watch.step()
    taught = train if shown.rows is None else train.and_then(shown.rows)
    booster = ranker.fit(taught, validation, shape, seed, threads)
    retriever = retriever_at(encoders.judged, dataset, parts.validate_until_us, config)
    moments = _moments(dataset, parts.validate_until_us, parts.test_until_us, config, test=True)
    test = ask(moments, dataset, retriever, states)
    _check(test, dataset, parts.validate_until_us)
    journal.metrics["ranker_train_questions"] = float(len(teach))
    if test:
        exam = ranker_trial.Exam.of(rows_of(test, states), test)
        journal.trial = Trial(train, validation, exam)
        verdict = ranker_trial.judge(exam, ranker.scores(booster, exam.rows), seed)
        journal.metrics |= ranker_trial.figures(exam, verdict, seed)
        journal.ranking = _beyond(test, verdict, dataset, parts.validate_until_us)
        best = f"{verdict.best_source} {verdict.ndcg[verdict.best_source]:.4f}"
        watch.step(
            note=f"NDCG@10 {verdict.ndcg['ranker']:.4f}, "
            + say(f"best source {best}", f"最佳来源 {best}")
        )
    return booster


def _beyond(
    asked: Sequence[Question], verdict: ranker_trial.Verdict, dataset: Dataset, until_us: int
) -> dict[str, dict[str, float]]:
    """Of each order what accuracy does not see, as an encoder is judged; see `beyond.figures`."""
    past = dataset.interactions.until(until_us)
    counts_I = np.bincount(past.item, minlength=len(dataset.items))
    items = [one.item_index for question in asked for one in question.candidates]
    item_R = np.array([*items, -1], np.int64)  # An empty place takes the last.
    return {
        name: beyond.figures(item_R[rows_QK], counts_I, dataset.categories)
        for name, rows_QK in verdict.shown.items()
    }


def _note_exposures(
    shown: click_lessons.ClickLessons, config: TrainingConfig, watch: Watch, journal: Journal
) -> None:
    journal.metrics["exposed_lists"] = float(shown.lists)
    journal.metrics["exposed_clicks"] = float(shown.clicks)
    if shown.rows is None:
        why = Words(
            f"lessons from lists that were shown: telling how often each place is looked at takes "
            f"{config.ranker.fewest_clicks} clicks, and there were {shown.clicks} in "
            f"{shown.lists} logged lists; the ranker learns from recorded behaviour alone",
            f"来自曝光列表的样本：估计各位置的浏览率需要 {config.ranker.fewest_clicks} 次点击，"
            f"现有 {shown.lists} 个列表共 {shown.clicks} 次；排序模型只从行为记录学习",
        )
        journal.leave_out(why, watch)
        return
    for place in (2, 5, 10):
        if shown.look_K[place - 1] > _NEVER_SHOWN:
            journal.metrics[f"examined_place_{place}"] = float(shown.look_K[place - 1])


def _check(asked: Sequence[Question], dataset: Dataset, bundle_until_us: int) -> None:
    instants = [one.as_of_us for one in asked]
    check_candidates([one.candidates for one in asked], instants, dataset, bundle_until_us)


def _moments(
    dataset: Dataset, after_us: int, until_us: int, config: TrainingConfig, *, test: bool
) -> list[Point]:
    shape = config.ranker
    found = points(
        dataset.interactions,
        after_us,
        until_us,
        hours=shape.label_hours,
        per_customer=shape.points_per_customer,
        limit=shape.test_points if test else shape.train_points,
        seed=config.seed,
    )
    labels = [(one.customer, item, one.as_of_us) for one in found for item in one.gains]
    check_labels(labels, dataset, int(shape.label_hours * HOUR_US), until_us, "past moments")
    return found


def retriever_at(
    model: Encoder, dataset: Dataset, until_us: int, config: TrainingConfig
) -> Retriever:
    return Retriever.of(
        lambda items, kinds: encoder.query_vectors(model, items, kinds),
        encoder.item_vectors(model),
        dataset,
        until_us,
        popular=baselines.popular_items(
            dataset.interactions, until_us, config.popular_days, config.popular_items
        ),
        history_length=config.encoder.history_length,
        covisits=covisits.build(
            dataset.interactions, len(dataset.items), until_us, config.covisits
        ),
        content=encoder.content_table(model),
    )
