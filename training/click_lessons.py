"""What logged lists teach the ranker, once it is known how often each place is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.transforms.buckets import HOUR_US
from training.config import RankerConfig
from training.datasets import Dataset, Interactions
from training.exposed import Shown
from training.label_points import Point, gains_of
from training.leaks import check_labels
from training.position_bias import examined, lessons_of_clicks
from training.ranking_rows import Question, Rows, rows_of
from training.retrieval import Retriever
from training.states import States

# Axes: R rows (shown items), K places in a list.

CLICK_WINDOW_US = HOUR_US  # What is done later was hardly done because of the list.


@dataclass(frozen=True)
class ClickLessons:
    """Questions per click with their weights, and what they were weighed by.

    `rows` is None where too little was clicked to tell places apart; `look_K` is then empty.
    """

    lists: int
    clicks: int
    rows: Rows | None
    look_K: npt.NDArray[np.float64]


def of_exposures(
    dataset: Dataset,
    retriever: Retriever,
    states: States,
    after_us: int,
    until_us: int,
    config: RankerConfig,
    seed: int,
    threads: int,
) -> ClickLessons:
    """Lists shown in (after_us, until_us], their items' features just before, their clicks after.

    At most `config.shown_lists` lists, drawn evenly. An item that the retriever of the time does
    not name is left out: the ranker would not meet it.
    """
    nothing = np.zeros(0)
    lists = answered(dataset.shown, dataset.interactions, after_us, until_us)
    if sum(len(point.gains) for _, point in lists) < config.fewest_clicks:
        return ClickLessons(len(lists), sum(len(point.gains) for _, point in lists), None, nothing)
    if len(lists) > config.shown_lists:
        picks = np.random.default_rng(seed).choice(len(lists), config.shown_lists, replace=False)
        lists = [lists[pick] for pick in sorted(picks)]
    labels = [(point.customer, item, point.as_of_us) for _, point in lists for item in point.gains]
    check_labels(labels, dataset, CLICK_WINDOW_US + 1, until_us, "lists that were shown")
    instants = [point.as_of_us for _, point in lists]
    known = states.customers([dataset.customer_ids[point.customer] for _, point in lists], instants)
    questions: list[Question] = []
    places: list[int] = []
    for (shown, point), state, found in zip(
        lists, known, retriever.candidates(known, instants), strict=True
    ):
        place_of = {item: place for place, item in reversed(list(enumerate(shown.items)))}
        kept = tuple(one for one in found if one.item_index in place_of)
        if kept:
            questions.append(Question(point.as_of_us, state, kept, point.gains))
            places += [place_of[one.item_index] for one in kept]
    rows, places_R = rows_of(questions, states), np.array(places, np.int64)
    clicked_R = rows.gains_R > 0
    clicks = int(clicked_R.sum())
    if clicks < config.fewest_clicks or clicks == len(clicked_R):
        return ClickLessons(len(lists), clicks, None, nothing)
    look_K = examined(
        rows.features_RF,
        places_R,
        clicked_R,
        places=config.bias_places,
        seed=seed,
        threads=threads,
    )
    taught = lessons_of_clicks(rows, places_R, look_K, config.most_weight)
    return ClickLessons(len(lists), clicks, taught, look_K)


def answered(
    shown: Sequence[Shown], interactions: Interactions, after_us: int, until_us: int
) -> list[tuple[Shown, Point]]:
    """Each list in (after_us, until_us - window] with the gains of what was then done of it.

    An interaction within the hour counts for the newest list before it that held its item. Lists
    of which nothing was clicked stay: what is passed over tells as much. The point lies just
    before the list was shown.
    """
    ranges = {customer: (start, end) for customer, start, end in interactions.ranges()}
    inside = [
        one for one in shown if after_us < one.at_us <= until_us - CLICK_WINDOW_US and one.items
    ]
    of_customer: dict[int, list[Shown]] = {}
    for one in sorted(inside, key=lambda one: one.at_us):
        of_customer.setdefault(one.customer, []).append(one)
    found: list[tuple[Shown, Point]] = []
    for customer, lists in of_customer.items():
        start, end = ranges.get(customer, (0, 0))
        occurred = interactions.occurred_at_us[start:end]
        newer: dict[int, int] = {}  # item -> when the next list that holds it was shown
        for one in reversed(lists):
            first, last = np.searchsorted(
                occurred, [one.at_us, one.at_us + CLICK_WINDOW_US], side="right"
            )
            met = [
                place
                for place in range(start + int(first), start + int(last))
                if int(interactions.item[place]) in one.items
                and interactions.occurred_at_us[place]
                <= newer.get(int(interactions.item[place]), until_us)
            ]
            gains = gains_of(interactions.item[met], interactions.kind[met])
            found.append((one, Point(customer, one.at_us - 1, gains)))
            newer.update(dict.fromkeys(one.items, one.at_us))
    return sorted(found, key=lambda pair: (pair[0].at_us, pair[0].customer))
