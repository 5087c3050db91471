"""Settings from the environment: a bad value is refused with its name, its value and what to do."""

from __future__ import annotations

from dataclasses import fields

import pytest

from nearline.errors import PermanentError
from nearline.settings import Settings, load, to_environ


@pytest.mark.parametrize("value", ["0", "-1", "65536", "99999"])
def test_a_port_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(PermanentError, match=f"NEARLINE_API_HTTP_PORT={value} makes no") as told:
        load({"NEARLINE_API_HTTP_PORT": value})

    assert "expected 1 to 65535, such as 7310" in str(told.value)


def test_the_metrics_port_leaves_room_for_the_one_behind_it() -> None:
    with pytest.raises(PermanentError, match=r"NEARLINE_METRICS_PORT=65535.*expected 1 to 65534"):
        load({"NEARLINE_METRICS_PORT": "65535"})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("REPLICAS", "0", "1 or more, such as 2"),
        ("PARTITIONS", "-3", "1 or more, such as 4"),
        ("HISTORY_FLUSH_S", "-1", "0 or more, such as 10.0"),
        ("LOG_RETENTION_DAYS", "inf", "0 or more, such as 7.0"),
        ("DEADLINE_MS", "0", "1 or more, such as 150.0"),
        ("TRACE_SHARE", "1.5", "0 to 1, such as 0.01"),
        ("SERVED_SAMPLE", "nan", "0 to 1, such as 0.01"),
    ],
)
def test_a_number_beyond_its_bounds_is_refused(name: str, value: str, expected: str) -> None:
    with pytest.raises(PermanentError) as told:
        load({f"NEARLINE_{name}": value})

    assert str(told.value) == f"NEARLINE_{name}={value} makes no sense: expected {expected}"


def test_every_number_has_bounds_and_its_default_lies_within() -> None:
    numbers = {item.name for item in fields(Settings) if isinstance(item.default, int | float)}
    given = {f"NEARLINE_{name.upper()}": "-1" for name in numbers}

    assert load(to_environ(Settings())) == Settings()
    for name, value in given.items():
        with pytest.raises(PermanentError, match=f"{name}=-1 makes no sense"):
            load({name: value})


@pytest.mark.parametrize("url", ["foo", "http://host:6379", "redis://host:99999/0"])
def test_an_address_that_is_of_no_redis_is_refused(url: str) -> None:
    with pytest.raises(PermanentError, match=r"NEARLINE_REDIS_URL is no .*redis://host:port"):
        load({"NEARLINE_REDIS_URL": url})


def test_a_refused_address_does_not_tell_its_password() -> None:
    with pytest.raises(PermanentError) as told:
        load({"NEARLINE_REDIS_URL": "http://nearline:secret@db.example:6379"})

    assert "secret" not in str(told.value)


def test_a_language_that_is_not_spoken_is_refused() -> None:
    with pytest.raises(PermanentError, match=r"NEARLINE_LANG='de' .*expected en or zh"):
        load({"NEARLINE_LANG": "de"})
    assert load({"NEARLINE_LANG": "zh_CN.UTF-8"}) == Settings()


def test_a_word_for_a_number_is_refused() -> None:
    with pytest.raises(PermanentError, match="NEARLINE_REDIS_PORT='abc' is not a number"):
        load({"NEARLINE_REDIS_PORT": "abc"})


def test_what_is_written_for_a_child_is_read_as_it_was() -> None:
    settings = load({"NEARLINE_API_HTTP_PORT": "65535", "NEARLINE_TRACE_SHARE": "0.5"})

    assert settings.api_http_port == 65_535
    assert load(to_environ(settings)) == settings
    assert load({}) == Settings()
