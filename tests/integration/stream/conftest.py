from __future__ import annotations

from collections.abc import Callable

import click
import pytest


@pytest.fixture
def figure(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Shows a measured figure on the terminal, also when pytest captures output."""

    def show(text: str) -> None:
        with capsys.disabled():
            click.echo(f"\n{text}")

    return show
