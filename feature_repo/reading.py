"""How long Feast's SDK needs to read items: what the hot path would cost without its own table.

Run as `python -m feature_repo.reading` with an `Ask` on stdin; prints one line of `Read`. A
process of its own, since Feast takes seconds to import.
"""

from __future__ import annotations

import feature_repo.quiet  # noqa: F401 - before Feast

# isort: split
import sys
import time

import msgspec

from feature_repo.retrieval import open_store
from nearline import settings
from nearline.bench.sdk import Ask, Read
from nearline.feast_layout import ITEM_VIEW


def read(ask: Ask) -> Read:
    """Ask for every stored column of the items, as the view is registered, again and again."""
    store = open_store(settings.load())
    view = store.get_feature_view(ITEM_VIEW.view)
    features = [f"{view.name}:{feature.name}" for feature in view.features]
    rows = [{ITEM_VIEW.join_key: item_id} for item_id in ask.item_ids]
    samples_ms: list[float] = []
    values_ms: list[float] = []
    for number in range(ask.warm_up + ask.calls):
        began_s = time.perf_counter()
        answer = store.get_online_features(features=features, entity_rows=rows)
        answered_s = time.perf_counter()
        values = answer.to_dict()
        if number >= ask.warm_up:
            samples_ms.append((answered_s - began_s) * 1_000)
            values_ms.append((time.perf_counter() - began_s) * 1_000)
    found = sum(value is not None for value in values["first_seen_us"])
    return Read(samples_ms, values_ms, found)


def main() -> None:
    """Measure as the question on stdin says, with the settings of the environment."""
    ask = msgspec.json.decode(sys.stdin.buffer.read(), type=Ask)
    sys.stdout.write(msgspec.json.encode(read(ask)).decode() + "\n")


if __name__ == "__main__":
    main()
