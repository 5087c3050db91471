from __future__ import annotations

import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from click.testing import CliRunner, Result

from ingestion.collector.app import Parts
from ingestion.collector.commands import dead_letters
from nearline import keys, write_keys
from nearline.embedded.running import marker_of, written
from nearline.embedded.valkey import EmbeddedValkey
from nearline.log import scan_partition
from nearline.settings import Settings
from nearline.write_keys import WriteKey

pytestmark = pytest.mark.redis
GRANTED = {"consent": {"categoryPreferences": {"analytics": True}}}


def view(message_id: str | None, **members: Any) -> dict[str, Any]:
    event = {
        "type": "track",
        "event": "view_item",
        "userId": "ada",
        "messageId": message_id,
        "properties": {"items": [{"item_id": "i1"}]},
        "context": GRANTED,
    }
    return {**event, **members}


@pytest.fixture
def send(tell: Callable[[Any], Any]) -> Callable[[str], Any]:
    def go(body: str) -> dict[str, int]:
        async def told(client: httpx.AsyncClient, parts: Parts) -> dict[str, int]:
            await client.post("/v1/batch", content=body)
            return await parts.intake.log.counts()

        counts: dict[str, int] = tell(told)
        return counts

    return go


@pytest.fixture
def command(settings: Settings) -> Callable[..., Result]:
    environment = {
        "NEARLINE_HOME": str(settings.home),
        "NEARLINE_REDIS_URL": settings.redis_url,
        "NEARLINE_LANG": "en",
        "COLUMNS": "200",
    }

    def run(*arguments: str) -> Result:
        result = CliRunner(env=environment).invoke(dead_letters, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result

    return run


def waiting(valkey: redis.Redis) -> int:
    return sum(int(valkey.xlen(keys.dead_letters(p))) for p in range(4))  # type: ignore[arg-type,misc]


def stored_ids(valkey: redis.Redis) -> set[str]:
    return {
        entry.event.event_id
        for partition in range(4)
        for page in scan_partition(valkey, partition)
        for entry in page
    }


def test_after_the_key_is_widened_replay_takes_what_it_refused(
    valkey: redis.Redis,
    settings: Settings,
    send: Callable[[str], dict[str, int]],
    command: Callable[..., Result],
) -> None:
    old = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    send(json.dumps({"batch": [view("old", timestamp=old), view("nobody", userId=None)]}))
    assert "0 accepted" in command("replay").output
    assert waiting(valkey) == 2

    write_keys.add(settings.home, WriteKey(name="app", max_age_days=90))
    replayed = command("replay")

    assert "1 accepted, 0 known already, 0 refused for consent; 1 stay." in replayed.output
    assert stored_ids(valkey) == {"old"}
    assert waiting(valkey) == 1
    # The second submission of `old` was received too; what was refused again is not counted twice.
    assert send('{"batch":[]}') == {
        "received": 3,
        "stored": 1,
        "duplicate": 0,
        "rejected": 2,
        "consent_refused": 0,
    }


def test_a_listing_is_taken_after_its_key_was_given_the_right(
    valkey: redis.Redis,
    settings: Settings,
    send: Callable[[str], dict[str, int]],
    command: Callable[..., Result],
) -> None:
    counts = send(json.dumps({"batch": [view("listing", event="item_listed")]}))
    assert (counts["rejected"], counts["stored"]) == (1, 0)
    assert "listing_not_allowed" in command("show").output

    write_keys.add(settings.home, WriteKey(name="app", lists_items=True))
    replayed = command("replay", "--code", "listing_not_allowed")

    assert "1 accepted, 0 known already, 0 refused for consent; 0 stay." in replayed.output
    assert stored_ids(valkey) == {"listing"}
    assert waiting(valkey) == 0


def test_a_mended_export_is_taken_and_leaves_the_letters(
    valkey: redis.Redis,
    tmp_path: Path,
    send: Callable[[str], dict[str, int]],
    command: Callable[..., Result],
) -> None:
    send('{"batch":[' + json.dumps(view(None, userId=None)) + ',{"a":NaN}]}')
    file = tmp_path / "bad.jsonl"
    assert "2 events" in command("export", str(file)).output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    by_code = {line["code"]: line for line in lines}
    assert by_code["json_invalid"]["text"] == '{"a":NaN}'
    by_code["user_missing"]["event"]["userId"] = "bob"
    file.write_text("\n".join(json.dumps(line) for line in lines))

    first, second = command("replay", "--file", str(file)), command("replay", "--file", str(file))

    assert "1 accepted" in first.output
    assert "1 stay" in first.output
    assert "1 were no longer there" in second.output
    assert stored_ids(valkey) == {f"dead-{by_code['user_missing']['id']}"}
    assert waiting(valkey) == 1


def test_a_replay_that_was_cut_short_can_be_repeated(
    valkey: redis.Redis,
    settings: Settings,
    send: Callable[[str], dict[str, int]],
    command: Callable[..., Result],
) -> None:
    old = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    send(json.dumps({"batch": [view(None, timestamp=old)]}))
    write_keys.add(settings.home, WriteKey(name="app", max_age_days=90))
    (partition,) = [p for p in range(4) if valkey.xlen(keys.dead_letters(p))]
    ((stream_id, fields),) = valkey.xrange(keys.dead_letters(partition))
    assert "1 accepted" in command("replay").output
    # As if it had stopped between storing the event and removing its letter.
    valkey.delete(keys.dead_letters(partition))
    valkey.xadd(keys.dead_letters(partition), fields, id=stream_id)

    assert "0 accepted, 1 known already" in command("replay").output
    assert waiting(valkey) == 0


def test_letters_are_counted_by_code_and_listed_without_their_content(
    send: Callable[[str], dict[str, int]], command: Callable[..., Result]
) -> None:
    assert "No event waits" in command("show").output
    send(
        json.dumps({"batch": [view("1", userId=None, x="secret-name"), view("2", userId=None), 3]})
    )

    shown, listed = command("show").output, command("list").output
    only = command("list", "--code", "event_invalid").output

    assert "user_missing" in shown
    assert "event_invalid" in shown
    assert listed.count("user_missing") == 2
    assert only.count("event_invalid") == 1
    assert "user_missing" not in only
    assert "secret-name" not in shown + listed


def test_letters_are_discarded_only_by_a_person_who_confirms(
    valkey: redis.Redis, send: Callable[[str], dict[str, int]], command: Callable[..., Result]
) -> None:
    send(json.dumps({"batch": [view("1", userId=None), 3]}))

    assert command("discard").exit_code == 1
    assert waiting(valkey) == 2
    assert "1 events deleted" in command("discard", "--code", "event_invalid", "--yes").output
    assert waiting(valkey) == 1


def test_a_line_that_is_no_letter_is_refused_with_its_number(
    tmp_path: Path, command: Callable[..., Result], settings: Settings
) -> None:
    from nearline.errors import PermanentError

    file = tmp_path / "x.jsonl"
    file.write_text('{"id":"0-1-1","event":{}}\nnope\n')
    result = CliRunner(
        env={"NEARLINE_HOME": str(settings.home), "NEARLINE_REDIS_URL": settings.redis_url}
    ).invoke(dead_letters, ["replay", "--file", str(file)])

    assert isinstance(result.exception, PermanentError)
    assert "line 2" in str(result.exception)


def test_what_runs_on_ports_of_its_own_choice_is_found(
    settings: Settings,
    valkey_server: EmbeddedValkey,
    send: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send(json.dumps({"batch": [view("m1", userId="")]}))
    marker_of(settings.home).write_text(written("abc", {"redis_port": valkey_server.port}))
    for name in ("NEARLINE_REDIS_URL", "NEARLINE_REDIS_PORT"):
        monkeypatch.delenv(name, raising=False)
    environment = {"NEARLINE_HOME": str(settings.home), "NEARLINE_LANG": "en"}

    result = CliRunner(env=environment).invoke(dead_letters, ["list"], catch_exceptions=False)

    assert "1 waiting in all" in result.output
