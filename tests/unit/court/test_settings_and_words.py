from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from nearline import clock, settings
from nearline.errors import PermanentError
from nearline.say import say


def test_settings_come_from_variables_over_defaults() -> None:
    loaded = settings.load({"NEARLINE_HOME": "/srv/shop", "NEARLINE_PARTITIONS": "8"})

    assert loaded.home == Path("/srv/shop")
    assert loaded.partitions == 8
    assert loaded.redis_address == "redis://127.0.0.1:7379/0"


def test_a_bad_number_is_refused_with_its_variable_and_an_example() -> None:
    with pytest.raises(PermanentError, match=r"NEARLINE_API_HTTP_PORT='web'.*such as 7310"):
        settings.load({"NEARLINE_API_HTTP_PORT": "web"})


def test_words_follow_the_chosen_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_LANG", "zh")
    assert say("item", "商品") == "商品"

    monkeypatch.setenv("NEARLINE_LANG", "en")
    assert say("item", "商品") == "item"


def test_instants_and_datetimes_turn_into_each_other() -> None:
    instant = datetime(2026, 11, 21, 12, 30, 0, 123_456, tzinfo=UTC)

    assert clock.utc(clock.micros(instant)) == instant
    with pytest.raises(ValueError, match="time zone"):
        clock.micros(instant.replace(tzinfo=None))


def test_the_last_instant_that_an_event_may_have_is_in_the_year_9999() -> None:
    last_us = 253_402_300_799_999_999

    assert clock.utc(last_us) == datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert clock.micros(clock.utc(last_us)) == last_us


def test_a_password_is_not_shown() -> None:
    held = settings.load({"NEARLINE_REDIS_URL": "redis://nearline:secret@db.example:6379/2"})

    assert held.redis_address.startswith("redis://nearline:secret@")
    assert held.redis_shown == "redis://db.example:6379/2"
    assert settings.Settings().redis_shown == "redis://127.0.0.1:7379/0"
