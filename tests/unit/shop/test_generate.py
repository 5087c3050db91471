"""Writing a shop: the same bytes again, one shop to a home, nothing half."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ingestion.shop import generate as module
from ingestion.shop import truth
from ingestion.shop.generate import OtherShop, Parameters, generate
from nearline import history
from nearline.settings import Settings
from nearline.transforms.buckets import DAY_US

PARAMETERS = Parameters(
    customers=60, items=120, days=6, seed=5, until_us=1_793_491_200_000_000 + 9 * 3_600_000_000
)


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_equal_parameters_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        generate(Settings(home=tmp_path / name), PARAMETERS, replace=False)

    assert all_bytes(tmp_path / "a") == all_bytes(tmp_path / "b")


def test_history_reads_back_as_the_events_in_their_day(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)

    shop = generate(settings, PARAMETERS, replace=False)

    days = list(history.read_days(settings.history))
    events = [event for _, table in days for event in history.events_of(table)]
    assert len(events) == shop.events
    assert len(days) == 7  # six times 24 hours from nine in the morning touch seven days
    assert all(
        history.day_of(event) == day for day, table in days for event in history.events_of(table)
    )
    first, *_ = history.files(settings.history)
    assert first.name.startswith(f"import-shop-{PARAMETERS.fingerprint}_1_")


def test_the_same_shop_again_is_left_alone_and_another_needs_replace(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    generate(settings, PARAMETERS, replace=False)
    before = all_bytes(tmp_path)
    other = dataclasses.replace(PARAMETERS, seed=6)

    generate(settings, PARAMETERS, replace=False)
    assert all_bytes(tmp_path) == before
    with pytest.raises(OtherShop, match="--replace"):
        generate(settings, other, replace=False)
    assert all_bytes(tmp_path) == before

    generate(settings, other, replace=True)
    names = {path.name.split("_")[0] for path in history.files(settings.history)}
    assert names == {f"import-shop-{other.fingerprint}"}


def test_what_a_killed_run_left_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path / "killed")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module.truth, "save", die)
        with pytest.raises(KeyboardInterrupt):
            generate(settings, PARAMETERS, replace=False)
    assert truth.read_shop(settings.truth) is None
    later = dataclasses.replace(PARAMETERS, until_us=PARAMETERS.until_us + DAY_US)
    generate(settings, later, replace=False)

    clean = Settings(home=tmp_path / "clean")
    generate(clean, later, replace=False)
    assert all_bytes(settings.history) == all_bytes(clean.history)


def test_an_import_whose_name_begins_alike_is_not_taken_for_a_shop(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    foreign = settings.history / "day=2026-10-30" / "import-shopify-0123456789ab_1_2.parquet"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"not ours")

    module.remove_leftovers(settings)

    assert foreign.exists()


@pytest.fixture
def known(tmp_path: Path) -> truth.Truth:
    settings = Settings(home=tmp_path)
    generate(settings, PARAMETERS, replace=False)
    return truth.load(settings.truth)


def test_the_truth_reads_back_with_tastes_and_departures(known: truth.Truth) -> None:
    churned = int((known.churned_at_us_C > 0).sum())

    assert known.shop.fingerprint == PARAMETERS.fingerprint
    assert known.has_churned_C(PARAMETERS.until_us + 1).sum() == churned
    assert not known.has_churned_C(PARAMETERS.start_us).any()
    liked = int(known.taste_I(0).argmax())
    assert known.taste("c00000", known.world.items.ids[liked]) == known.taste_I(0).max()
    assert all(
        known.world.items.category_I[known.world.items.neighbours_IN[row]].tolist()
        == [known.world.items.category_I[row]] * known.world.items.neighbours_IN.shape[1]
        for row in range(120)
    )
