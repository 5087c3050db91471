"""A mapping file is checked whole, and each mistake is told with its line and what fits."""

from __future__ import annotations

import pytest

from ingestion.connectors import mapping
from ingestion.connectors.mapping import MappingRefused, name_fault
from nearline.errors import PermanentError

GOOD = """\
name: shop1
columns:
  customer_id: user
  item_id: sku
  event: action
  time: at
  price: price
events:
  1: view_item
  buy: purchase
  scroll: ignore
time:
  zone: Europe/Berlin
money:
  unit: units
  currency: eur
consent: [personalization, analytics]
consent_basis: Opted in.
"""


def problems(text: str) -> list[tuple[int, str]]:
    with pytest.raises(MappingRefused) as refused:
        mapping.parse(text, "map.yaml")
    return refused.value.problems


def test_a_good_file_is_read_with_its_defaults() -> None:
    read = mapping.parse(GOOD, "map.yaml")

    assert read.columns["customer_id"] == "user"
    assert read.events == {"1": "view_item", "buy": "purchase", "scroll": "ignore"}
    assert read.consent == ("analytics", "personalization")
    assert (read.time_format, read.zone.key, read.ambiguous) == ("iso", "Europe/Berlin", "first")
    assert (read.money_in_units, read.currency, read.ignore_unknown) == (True, "EUR", False)


@pytest.mark.parametrize("name", ["retailrocket", "taobao"])
def test_the_mappings_that_ship_are_good(name: str) -> None:
    assert mapping.load(name).name == name


def test_an_unknown_mapping_is_told_with_the_names_that_ship() -> None:
    with pytest.raises(PermanentError, match="retailrocket, taobao"):
        mapping.load("nowhere")


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        (("  time: at\n", ""), 3, "columns.time is missing"),
        (("buy: purchase", "buy: bought"), 10, "'bought'; expected one of view_item"),
        (
            ("  price: price", "  prise: price"),
            7,
            "columns has no 'prise'; it may hold customer_id",
        ),
        (("Europe/Berlin", "Europe/Berln"), 13, "Europe/Berlin"),
        (("unit: units", "unit: euros"), 15, "money.unit is 'euros'; expected one of cents, units"),
        (("currency: eur", "currency: euro"), 16, "three letters"),
        (("personalization, analytics", "personalisation, analytics"), 17, "is no purpose"),
        (("personalization, analytics", "personalization"), 17, "nothing may be kept"),
        (("consent: [personalization, analytics]\n", ""), 1, "must say what its customers allowed"),
        (("  scroll: ignore", "  buy: ignore"), 11, "'buy' stands here twice"),
        (("time:\n  zone", "time:\n  format: epoch\n  zone"), 13, "expected one of iso, epoch_s"),
        (("name: shop1", "name: shop"), 1, "belongs to the simulated shop"),
        (("name: shop1", "nme: shop1"), 1, "the file has no 'nme'"),
    ],
)
def test_a_mistake_is_told_with_its_line(change: tuple[str, str], line: int, says: str) -> None:
    assert change[0] in GOOD

    found = problems(GOOD.replace(*change))

    assert any(at == line and says in text for at, text in found), found


def test_all_mistakes_are_told_at_once() -> None:
    text = GOOD.replace("item_id: sku", "item: sku").replace("buy: purchase", "buy: bought")

    assert len(problems(text)) == 3  # an unknown field, a missing one, an unknown event


@pytest.mark.parametrize("text", ["", "- a list", "columns: [", "just words", "columns: 3"])
def test_what_is_no_mapping_at_all_is_refused_and_not_stumbled_over(text: str) -> None:
    assert problems(text)


def test_prices_need_a_unit() -> None:
    text = GOOD.replace("money:\n  unit: units\n  currency: eur\n", "")

    assert any("money.unit" in problem for _, problem in problems(text))


def test_names_that_could_leave_the_folder_are_refused() -> None:
    assert name_fault("../x")
    assert name_fault("")
    assert name_fault("a b")
    assert name_fault("shop-2")
    assert not name_fault("orders_2026-10")


def test_mappings_that_mean_the_same_are_one_and_others_are_not() -> None:
    base = mapping.parse(GOOD, "a.yaml").canonical()

    assert mapping.parse(GOOD + "# a note\n", "b.yaml").canonical() == base
    assert mapping.parse(GOOD.replace("units", "cents"), "a.yaml").canonical() != base
    assert mapping.parse(GOOD.replace("scroll", "swipe"), "a.yaml").canonical() != base
