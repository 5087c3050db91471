"""Candidates as training and serving both make them."""

from __future__ import annotations

from nearline.transforms import customer
from nearline.transforms.buckets import DAY_US
from nearline.transforms.candidates import (
    LIMITS,
    Catalogue,
    Proposal,
    depth,
    encoder_input,
    encoder_proposals,
    excluded_ids,
    fused_score,
    merge,
    popular_proposals,
    revisit_proposals,
)
from tests.unit.training.histories import START_US, met

SHOP = Catalogue.of(["a", "b", "c", "d"], ["x", "x", "y", ""])


def test_the_encoder_sees_known_items_oldest_first_padded_on_the_left() -> None:
    state = customer.fold(
        [met("ada", "b", START_US), met("ada", "gone", START_US + 1),
         met("ada", "a", START_US + 2, name="purchase")]
    )  # fmt: skip

    items, kinds = encoder_input(state, SHOP.index_of, 4)

    assert items.tolist() == [0, 0, 2, 1]
    assert kinds.tolist() == [0, 0, 1, 3]
    assert encoder_input(state, SHOP.index_of, 1)[0].tolist() == [1]  # the newest is kept
    assert not encoder_input(customer.EMPTY, SHOP.index_of, 3)[0].any()


def test_an_item_named_by_several_sources_is_one_candidate_with_all_scores() -> None:
    found = merge(
        {"encoder": [Proposal(2, 1.5), Proposal(0, 1.0)], "popular": popular_proposals([0, 3], 9)},
        SHOP,
        frozenset(),
    )

    by_id = {one.item_id: one for one in found}
    assert by_id["a"].scores == {"encoder": 1.0, "popular": 1.0}
    assert by_id["a"].ranks == {"encoder": 2, "popular": 1}
    assert by_id["a"].category == "x"
    # a: 1/62 + 1/61, c: 1/61, d: 1/62
    assert [one.item_id for one in found] == ["a", "c", "d"]
    assert fused_score(found[0]) == 1 / 62 + 1 / 61


def test_what_was_bought_or_named_vanishes_before_ranks_are_given() -> None:
    state = customer.fold([met("ada", "c", START_US, name="purchase")])

    excluded = excluded_ids(state, ["d"])
    found = merge({"encoder": [Proposal(i, -i) for i in (2, 3, 1, 0)]}, SHOP, excluded)

    assert [(one.item_id, one.ranks["encoder"]) for one in found] == [("b", 1), ("a", 2)]
    assert depth("encoder", excluded) == LIMITS["encoder"] + 2


def test_each_source_is_cut_to_its_limit() -> None:
    many = Catalogue.of([f"i{n}" for n in range(200)], [""] * 200)

    found = merge(
        {
            "popular": popular_proposals(range(200), 200),
            "encoder": encoder_proposals([5, -1], [1, 0]),
        },
        many,
        frozenset(),
    )

    assert len(found) == LIMITS["popular"]
    assert sum("encoder" in one.ranks for one in found) == 1  # -1 is FAISS's empty place


def test_revisits_weigh_kind_and_age() -> None:
    now_us = START_US + 2 * DAY_US
    state = customer.fold(
        [met("ada", "a", START_US, name="add_to_cart"), met("ada", "b", now_us),
         met("ada", "c", now_us - 1), met("ada", "c", now_us)]
    )  # fmt: skip

    found = revisit_proposals(state, SHOP.index_of, now_us)

    # c: 2 views just now; a: one cart, halved after two days; b: one view
    assert [proposal.item_index for proposal in found] == [2, 0, 1]
    assert [round(proposal.score, 3) for proposal in found] == [2.0, 1.5, 1.0]
