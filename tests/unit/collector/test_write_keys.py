from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingestion.collector.auth import basic_key
from ingestion.collector.commands import collector
from nearline import write_keys
from nearline.errors import PermanentError
from nearline.write_keys import WriteKey, WriteKeys


def test_the_first_start_makes_two_random_keys_that_only_the_owner_reads(tmp_path: Path) -> None:
    path = write_keys.ensure(tmp_path / "home")
    text = write_keys.key_named(tmp_path / "home")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    server = write_keys.key_named(tmp_path / "home", "server")
    assert min(len(text), len(server)) >= 32
    assert write_keys.load(tmp_path / "home") == {
        text: WriteKey(name="app"),
        server: WriteKey(name="server", lists_items=True),
    }
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
        '{"k": {"name": "a", "lists_items": "yes"}}',
        "[]",
    ],
)
def test_a_wrong_file_is_refused_with_its_path(tmp_path: Path, content: str) -> None:
    (tmp_path / write_keys.FILE_NAME).write_text(content)

    with pytest.raises(PermanentError, match=r"write_keys\.json cannot be read"):
        write_keys.load(tmp_path)


def test_an_unknown_name_tells_those_there_are(tmp_path: Path) -> None:
    write_keys.ensure(tmp_path)

    with pytest.raises(PermanentError, match="there are: app, server"):
        write_keys.key_named(tmp_path, "shop")


def test_the_command_prints_a_key_for_scripts(tmp_path: Path) -> None:
    runner = CliRunner(env={"NEARLINE_HOME": str(tmp_path)})
    for given, name in (([], "app"), (["server"], "server")):
        printed = runner.invoke(collector, ["--show-key", *given])

        assert printed.output == write_keys.key_named(tmp_path, name) + "\n"


def test_a_file_of_before_stays_readable_and_its_key_may_not_list_items(tmp_path: Path) -> None:
    file = tmp_path / write_keys.FILE_NAME
    file.write_text('{"old-key": {"name": "app", "max_age_days": 90}}')
    keys = WriteKeys(tmp_path)

    assert keys.find("old-key") == WriteKey(name="app", max_age_days=90, lists_items=False)
    assert write_keys.any_key(tmp_path) == "old-key"

    server = write_keys.key_named(tmp_path, "server")

    assert keys.find(server) == WriteKey(name="server", lists_items=True)
    assert write_keys.key_named(tmp_path, "server") == server
    assert keys.find("old-key") == WriteKey(name="app", max_age_days=90)


def test_the_documented_file_can_be_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "clients.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / write_keys.FILE_NAME).write_text(text)

    web, catalogue = write_keys.load(tmp_path).values()

    assert (web.name, web.lists_items) == ("web", False)
    assert (catalogue.name, catalogue.lists_items) == ("catalogue", True)


def test_a_program_of_this_machine_takes_the_key_that_may_list_items(tmp_path: Path) -> None:
    file = tmp_path / write_keys.FILE_NAME
    file.write_text(
        '{"a": {"name": "shop"}, "b": {"name": "app"}, "c": {"name": "feed", "lists_items": true}}'
    )

    assert write_keys.first_key(tmp_path) == "c"


def test_a_server_key_that_stands_in_the_file_keeps_its_terms(tmp_path: Path) -> None:
    (tmp_path / write_keys.FILE_NAME).write_text('{"mine": {"name": "server"}}')

    assert write_keys.key_named(tmp_path, "server") == "mine"
    assert write_keys.load(tmp_path) == {"mine": WriteKey(name="server")}


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


def test_a_home_that_is_not_there_gets_no_key_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"there is no folder .*/typo: name the home"):
        write_keys.any_key(tmp_path / "typo")

    assert list(tmp_path.iterdir()) == []
    assert write_keys.any_key(tmp_path)  # A home before its collector's first start.
