"""Every feature and every stored column is explained, and the page says the same."""

from pathlib import Path

import pytest

from feature_repo.docs_page import PATH, render
from feature_repo.environment import connection_string, variables
from nearline.settings import Settings
from nearline.transforms import catalogue
from nearline.transforms.columns import CUSTOMER_COLUMNS, ITEM_COLUMNS
from nearline.transforms.customer import CUSTOMER_FEATURES
from nearline.transforms.item import ITEM_FEATURES


def test_every_customer_feature_is_explained_in_the_order_of_the_vector() -> None:
    assert tuple(feature.name for feature in catalogue.CUSTOMER) == CUSTOMER_FEATURES


def test_every_item_feature_is_explained_in_the_order_of_the_vector() -> None:
    assert tuple(feature.name for feature in catalogue.ITEM) == ITEM_FEATURES


@pytest.mark.parametrize("feature", [*catalogue.CUSTOMER, *catalogue.ITEM], ids=lambda f: f.name)
def test_an_explanation_has_a_unit_a_window_and_both_languages(feature: catalogue.Feature) -> None:
    assert feature.unit
    assert feature.window
    assert feature.en.endswith(".")
    assert feature.zh


def test_every_stored_column_is_explained() -> None:
    assert list(catalogue.CUSTOMER_COLUMNS) == list(CUSTOMER_COLUMNS)
    assert list(catalogue.ITEM_COLUMNS) == list(ITEM_COLUMNS)


def test_the_page_of_features_is_up_to_date() -> None:
    page = Path(__file__).parents[3] / PATH
    assert page.read_text() == render(), "run `nearline features docs`"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://127.0.0.1:7379/0", "127.0.0.1:7379"),
        ("redis://store:6380/2", "store:6380,db=2"),
        ("redis://:secret@store:6380/0", "store:6380,password=secret"),
        ("rediss://user:secret@store/1", "store:6379,db=1,username=user,password=secret,ssl=true"),
    ],
)
def test_a_redis_url_is_said_in_feasts_words(url: str, words: str) -> None:
    assert connection_string(url) == words


def test_every_variable_of_both_profiles_is_given(tmp_path: Path) -> None:
    given = variables(Settings(home=tmp_path))
    for profile in ("feature_store.yaml", "feature_store.cluster.yaml"):
        text = (Path(__file__).parents[3] / "feature_repo" / profile).read_text()
        asked = {part.split("}")[0] for part in text.split("${")[1:]}
        assert asked <= set(given)
