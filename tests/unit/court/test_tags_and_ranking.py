from __future__ import annotations

import math

from nearline.transforms import customer, item
from nearline.transforms.ranking import RANKER_FEATURES, Candidate, assemble, item_rows
from nearline.transforms.tags import tags_of

from .stories import DAY_US, MINUTE_US, NOON_US, did


def codes(state: customer.CustomerState, as_of_us: int) -> set[str]:
    return {tag.code for tag in tags_of(state, as_of_us)}


def test_a_stranger_has_no_tags() -> None:
    assert tags_of(customer.EMPTY, NOON_US) == ()


def test_a_cart_waits_until_its_items_are_bought() -> None:
    carted = customer.fold([did("add_to_cart", NOON_US, "lamp")])
    bought = carted + customer.state_of(did("purchase", NOON_US + MINUTE_US, "lamp"))

    assert "cart_waiting" in codes(carted, NOON_US)
    assert "cart_waiting" not in codes(bought, NOON_US + MINUTE_US)


def test_a_customer_away_for_two_weeks_is_dormant_and_no_longer_active() -> None:
    state = customer.fold([did("view_item", NOON_US)])

    assert "active_now" in codes(state, NOON_US)
    assert {"active_now", "dormant"} & codes(state, NOON_US + 14 * DAY_US) == {"dormant"}


def test_a_rankers_row_holds_customer_item_and_what_is_between_them() -> None:
    state = customer.fold([did("add_to_cart", NOON_US, "lamp", price_cents=200, category="lamps")])
    lamp = item.fold("lamp", [did("view_item", NOON_US, "lamp", price_cents=400)])
    candidates = [
        Candidate("lamp", 0, "lamps", {"encoder": 0.5}, {"encoder": 3}),
        Candidate("rug", 1, "rugs", {}, {}),
    ]

    rows = assemble(state, candidates, item_rows([lamp, item.EMPTY], NOON_US), NOON_US)
    known, unknown = (dict(zip(RANKER_FEATURES, row, strict=True)) for row in rows.tolist())

    assert known["customer_carts_1h"] == known["item_views_1h"] == 1.0
    assert (known["encoder_score"], known["encoder_rank"]) == (0.5, 3.0)
    assert math.isclose(known["price_ratio"], math.log(2), rel_tol=1e-6)
    assert (known["category_share"], known["carted_before"], known["in_session"]) == (1, 1, 1)
    assert math.isnan(unknown["encoder_score"])
    assert math.isnan(unknown["price_ratio"])
    assert (unknown["category_share"], unknown["seen_count"]) == (0, 0)
