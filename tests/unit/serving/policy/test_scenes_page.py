"""docs/scenes.md says what is true: its examples load, and it leaves out nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from nearline.transforms.tags import CODES
from serving.policy import names
from serving.policy.load import load, shipped
from serving.policy.model import RuleSettings, Scene, SourceName

PAGE = (Path(__file__).parents[4] / "docs" / "scenes.md").read_text("utf-8")
HOME = b"scenes: {home: {title: {en: Home, zh: H}, sources: {encoder: 9}}}"


def test_every_example_loads() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 3
    for example in examples:
        files = {"example.yaml": example.encode()}
        policy = load(files | ({"home.yaml": HOME} if "scenes:\n" in example else {}))
        assert policy != shipped()


def test_every_field_source_tag_and_rule_is_named() -> None:
    rules = [
        value for name, value in vars(names).items() if name.isupper() and name != "WITHHOLDING"
    ]
    for word in (*RuleSettings.__struct_fields__, *get_args(SourceName), *CODES, *rules):
        assert f"`{word}`" in PAGE, word
    for word in Scene.__struct_fields__:
        assert f"{word}:" in PAGE, word


def test_rules_stand_in_the_order_in_which_they_withhold() -> None:
    table = PAGE[PAGE.index("## The order of truth") :]
    places = [table.index(f"`{rule}`") for rule in names.WITHHOLDING]
    assert places == sorted(places)
