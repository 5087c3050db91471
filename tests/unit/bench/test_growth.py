from __future__ import annotations

import numpy as np
import pytest

from nearline.bench.growth import page
from nearline.bench.growth.run import parsed, short
from nearline.bench.growth.shapes import Made, Size, Stored, Tried
from nearline.bench.growth.shop import NOW_US, Shop, category, item_id
from nearline.bench.inprocess import InProcess, Memory
from nearline.bench.machine import Machine
from nearline.transforms import customer

SHOP = Shop.of(2_000, seed=7)


def test_an_item_lies_nearest_to_items_of_its_category() -> None:
    cosines = SHOP.vectors_ID[:50] @ SHOP.vectors_ID.T
    cosines[np.arange(50), np.arange(50)] = -1.0
    nearest = cosines.argmax(axis=1)

    assert np.linalg.norm(SHOP.vectors_ID, axis=1) == pytest.approx(1.0, abs=1e-5)
    # Chance alone would give one in twenty.
    assert (SHOP.category_I[nearest] == SHOP.category_I[:50]).mean() > 0.8


def test_the_same_seed_makes_the_same_shop_and_another_one_another() -> None:
    assert (Shop.of(2_000, seed=7).vectors_ID == SHOP.vectors_ID).all()
    assert not (Shop.of(2_000, seed=8).vectors_ID == SHOP.vectors_ID).all()


def test_companions_are_of_the_items_own_category() -> None:
    table = SHOP.covisits(1)

    for neighbours in table.of_pair.values():
        assert neighbours.items_IK.shape == (2_000, 20)
        assert (SHOP.category_I[neighbours.items_IK] == SHOP.category_I[:, None]).all()
        assert (np.diff(neighbours.weights_IK, axis=1) <= 0).all()


def test_every_category_has_items_and_a_vector() -> None:
    table = SHOP.content(1)

    assert set(table.categories) == {category(int(number)) for number in SHOP.category_I}
    assert len(table.prices) == len(table.price_edges_cents) + 1


def test_a_customers_month_lies_in_the_past_and_names_items_that_exist() -> None:
    events = list(SHOP.events("c", 3))
    ids = {item_id(row) for row in range(len(SHOP))}

    assert events == sorted(events, key=lambda event: event.occurred_at_us)
    assert all(event.occurred_at_us <= NOW_US for event in events)
    assert {line.item_id for event in events for line in event.lines} <= ids
    assert customer.fold(events).recent


def test_sizes_are_read_as_people_write_them() -> None:
    assert parsed("10k, 2.5k,1M,300") == (10_000, 2_500, 1_000_000, 300)
    assert [short(size) for size in (10_000, 1_000_000, 2_500, 300)] == [
        "10k",
        "1M",
        "2,500",
        "300",
    ]


@pytest.mark.parametrize("text", ["", "many", "0", "-5k"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - float's own message names the word, too
        parsed(text)


def size(items: int, chosen: str = "flat") -> Size:
    stages = (*page.STAGES, "encoder", "index", "compose")
    return Size(
        items=Stored(items, items * 1_024, 1.0),
        customers=Stored(items, items * 2_048, 1.0),
        events_per_customer=25.0,
        made=Made(
            [
                Tried("flat", 0, 1.0, 2.0, 1.0),
                Tried("hnsw", 128, 0.1, 0.2, 0.90),
                Tried("hnsw", 256, 0.2, 0.4, 0.97),
                Tried("hnsw", 512, 0.4, 0.8, 0.99),
            ],
            chosen,
            "because",
            1.0,
            {"index.faiss": 2**20},
        ),
        inside=InProcess(
            answers_ms=[4.0, 5.0],
            stages_ms={stage: [1.0, 2.0] for stage in stages},
            candidates=[100, 120],
            candidate_ids=[],
            degraded=[],
            items=items,
            load_bundle_s=1.0,
            load_items_s=2.0,
            memory=Memory(50 * 2**20, 150 * 2**20, 250 * 2**20, 260 * 2**20),
        ),
    )


def growth(*sizes: Size) -> page.Growth:
    machine = Machine("a processor", 2, 8.0, "Linux", "3.11.7", 0.1)
    return page.Growth("2026-11-21T12:00:00+00:00", "cmd", "0.1.0", 7, machine, 0.2, sizes)


def test_the_page_tells_memory_for_each_hundred_thousand() -> None:
    told = page.to_markdown(growth(size(50_000)), "growth.png")

    assert "| + bundle | 100 MB (200 MB per 100k) |" in told
    assert "| + item table | 100 MB (200 MB per 100k) |" in told
    assert "![Time and memory by size](growth.png)" in told


def test_the_page_marks_the_search_that_serves() -> None:
    lines = page.to_markdown(growth(size(10_000), size(1_000_000, "hnsw")), "g.png").splitlines()

    serving = [line for line in lines if line.endswith("| serves |")]
    assert serving == [
        "| 10k | exact | 1.00 / 2.00 | 1.000 | serves |",
        "| 1M | HNSW, 256 wide | 0.20 / 0.40 | 0.970 | serves |",
    ]


def test_the_picture_is_drawn_from_one_size_on(tmp_path) -> None:  # type: ignore[no-untyped-def]
    page.draw(growth(size(10_000)), tmp_path / "growth.png")

    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
