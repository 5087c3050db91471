"""How long Feast's SDK needs to read items: what the hot path would cost without its own table.

Run as `python -m feature_repo.reading` with an `Ask` on stdin; prints one line of `Read`. A
process of its own, since Feast takes seconds to import.
"""

from __future__ import annotations

import feature_repo.quiet  # noqa: F401 - before Feast

# isort: split
import sys
import time
from collections.abc import Callable

import msgspec
from feast.online_response import OnlineResponse

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

    def ask_feast() -> OnlineResponse:
        return store.get_online_features(features=features, entity_rows=rows)

    # Apart: what `to_dict` leaves behind would be collected in the time of the next answer.
    samples_ms = _times_ms(ask_feast, ask)
    values_ms = _times_ms(lambda: ask_feast().to_dict(), ask)
    seen = ask_feast().to_dict()["first_seen_us"]
    return Read(samples_ms, values_ms, sum(value is not None for value in seen))


def _times_ms(call: Callable[[], object], ask: Ask) -> list[float]:
    found: list[float] = []
    for number in range(ask.warm_up + ask.calls):
        began_s = time.perf_counter()
        call()
        if number >= ask.warm_up:
            found.append((time.perf_counter() - began_s) * 1_000)
    return found


def main() -> None:
    """Measure as the question on stdin says, with the settings of the environment."""
    ask = msgspec.json.decode(sys.stdin.buffer.read(), type=Ask)
    sys.stdout.write(msgspec.json.encode(read(ask)).decode() + "\n")


if __name__ == "__main__":
    main()
