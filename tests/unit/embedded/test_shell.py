"""What `nearline up` shows can be copied, however narrow the terminal is."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from nearline.embedded.shell import addresses
from nearline.settings import Settings

DEEP = Path("/srv") / "/".join(f"folder-{n}" for n in range(12)) / "[bold]" / ".nearline"


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [40, 80])
def test_each_address_and_path_stands_whole_on_a_line_of_its_own(
    language: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARLINE_LANG", language)
    settings, screen = Settings(home=DEEP), io.StringIO()

    Console(file=screen, width=width).print(addresses(settings), soft_wrap=True)

    lines = screen.getvalue().splitlines()
    for address in (
        "http://127.0.0.1:7310/v1/recommend",
        "127.0.0.1:7311",
        "http://127.0.0.1:7300/v1/batch",
        "redis://127.0.0.1:7379/0",
        str(settings.history),
        settings.mlflow_uri,
        str(settings.logs),
        str(settings.policy_folder),
    ):
        assert any(line.endswith(f"  {address}") for line in lines), address


def test_of_a_system_that_listens_everywhere_an_address_is_shown_that_can_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NEARLINE_LANG", "en")

    shown = addresses(Settings(host="0.0.0.0")).plain

    assert "http://127.0.0.1:7310/v1/recommend" in shown
    assert shown.endswith("every address of this machine (NEARLINE_HOST=0.0.0.0)")
    assert "0.0.0.0" not in shown.rpartition("\n")[0]
    assert "every address" not in addresses(Settings()).plain


def test_the_usual_addresses_fit_into_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    for language in ("en", "zh"):
        monkeypatch.setenv("NEARLINE_LANG", language)
        shown = addresses(Settings(home=Path("/home/ann/nearline/.nearline/demo"))).plain
        assert max(map(cell_len, shown.splitlines())) <= 80
