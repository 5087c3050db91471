from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingestion.collector.auth import basic_key
from ingestion.collector.commands import collector
from nearline import write_keys
from nearline.errors import PermanentError
from nearline.write_keys import WriteKey, WriteKeys


def test_the_first_start_makes_one_random_key_that_only_the_owner_reads(tmp_path: Path) -> None:
    path = write_keys.ensure(tmp_path / "home")
    text = write_keys.key_named(tmp_path / "home")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(text) >= 32
    assert write_keys.load(tmp_path / "home") == {text: WriteKey(name="app")}
    assert list(path.parent.iterdir()) == [path]
    write_keys.ensure(tmp_path / "home")
    assert write_keys.key_named(tmp_path / "home") == text


def test_a_key_added_while_running_is_found_and_a_broken_file_changes_nothing(
    tmp_path: Path,
) -> None:
    path = write_keys.ensure(tmp_path)
    keys = WriteKeys(tmp_path)
    terms = WriteKey(name="import", consent="assumed", assumed_purposes=("analytics",))

    text = write_keys.add(tmp_path, terms)

    assert keys.find(text) == keys.named("import") == terms
    assert write_keys.add(tmp_path, terms) == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("{")
    assert keys.find(text) == terms
    assert keys.find("other") is None


@pytest.mark.parametrize(
    "content",
    [
        '{"k": {"name": ""}}',
        '{"k": {"name": "a", "consent": "yes"}}',
        '{"k": {"name": "a", "consent": "assumed"}}',
        '{"k": {"name": "a", "concent": "assumed"}}',
        "[]",
    ],
)
def test_a_wrong_file_is_refused_with_its_path(tmp_path: Path, content: str) -> None:
    (tmp_path / write_keys.FILE_NAME).write_text(content)

    with pytest.raises(PermanentError, match=r"write_keys\.json cannot be read"):
        write_keys.load(tmp_path)


def test_an_unknown_name_tells_those_there_are(tmp_path: Path) -> None:
    write_keys.ensure(tmp_path)

    with pytest.raises(PermanentError, match="there are: app"):
        write_keys.key_named(tmp_path, "shop")


def test_the_command_prints_a_key_for_scripts(tmp_path: Path) -> None:
    printed = CliRunner(env={"NEARLINE_HOME": str(tmp_path)}).invoke(collector, ["--show-key"])

    assert printed.output == write_keys.any_key(tmp_path) + "\n"


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Basic a2V5Og==", "key"),  # key:
        ("basic a2V5OnB3", "key"),  # key:pw
        ("Basic a2V5", "key"),
        ("Basic Og==", None),  # no key before the colon
        ("Basic ???", None),
        ("Basic /w==", None),  # not UTF-8
        ("Bearer a2V5Og==", None),
        ("", None),
        (None, None),
    ],
)
def test_the_key_is_the_user_of_basic_authorization(header: str | None, key: str | None) -> None:
    assert basic_key(header) == key


def test_a_file_without_keys_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / write_keys.FILE_NAME).write_text("{}")

    with pytest.raises(PermanentError, match="holds no key: remove it"):
        write_keys.any_key(tmp_path)
