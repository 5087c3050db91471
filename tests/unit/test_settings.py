"""Settings from the environment: a bad value is refused with its name, its value and what to do."""

from __future__ import annotations

import pytest

from nearline.errors import PermanentError
from nearline.settings import Settings, load, to_environ


@pytest.mark.parametrize("value", ["0", "-1", "65536", "99999"])
def test_a_port_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(PermanentError, match=f"NEARLINE_API_HTTP_PORT={value} is no port") as told:
        load({"NEARLINE_API_HTTP_PORT": value})

    assert "expected 1 to 65535, such as 7310" in str(told.value)


def test_a_word_for_a_number_is_refused() -> None:
    with pytest.raises(PermanentError, match="NEARLINE_REDIS_PORT='abc' is not a number"):
        load({"NEARLINE_REDIS_PORT": "abc"})


def test_what_is_written_for_a_child_is_read_as_it_was() -> None:
    settings = load({"NEARLINE_API_HTTP_PORT": "65535", "NEARLINE_TRACE_SHARE": "0.5"})

    assert settings.api_http_port == 65_535
    assert load(to_environ(settings)) == settings
    assert load({}) == Settings()
