"""docs/settings.md names every variable that the code reads, and says what each is for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from nearline.embedded.stack import PORTS
from nearline.settings import Settings
from tests.unit.settings_page import INTERNAL, OUTSIDE, PAGE, render, sentences, variable

ROOT = Path(__file__).parents[2]
READ_BY = ("nearline", "feature_repo", "ingestion", "training", "serving", "infra")
OF_SETTINGS = {variable(item.name) for item in fields(Settings)}


def files() -> Iterator[Path]:
    for folder in READ_BY:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".yaml", ".yml", ".service"}:
                yield path


def test_the_page_of_settings_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run `make settings`"


@pytest.mark.parametrize("name", [item.name for item in fields(Settings)])
def test_every_field_has_a_sentence(name: str) -> None:
    assert re.fullmatch(r"[A-Z].{15,}\.", sentences()[name])


def test_every_variable_that_the_code_names_stands_on_the_page_and_no_other() -> None:
    texts = [path.read_text(encoding="utf-8") for path in files()]
    named = {found for text in texts for found in re.findall(r"\bNEARLINE_[A-Z_]*[A-Z]\b", text)}

    known = OF_SETTINGS | set(OUTSIDE) | set(INTERNAL)
    assert named - {"NEARLINE_X_Y"} <= known  # how settings.py says what a field's variable is
    for name in OUTSIDE:
        assert any(name in text for text in texts), f"nothing reads {name} any more"


def test_every_port_that_is_opened_is_a_port_of_the_page() -> None:
    ports = {item.name for item in fields(Settings) if item.name.endswith("_port")}
    assert set(PORTS) == ports
