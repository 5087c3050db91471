"""Lines of our own code: JSON, from all our rooms, and without the words of errors."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearline import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    held = {
        name: (one.handlers, one.level, one.propagate)
        for name in logs.OURS
        for one in [logging.getLogger(name)]
    }
    yield
    for name, (handlers, level, propagate) in held.items():
        logger = logging.getLogger(name)
        for handler in logger.handlers:
            handler.close()
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def lines(folder: Path) -> list[dict[str, str]]:
    (file,) = folder.glob("serve-*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_each_line_of_any_room_is_one_object_with_its_instant_level_and_place(
    tmp_path: Path,
) -> None:
    logs.start("serve", tmp_path / "logs")
    logging.getLogger("serving.watch").warning("bundle %s is refused:\n%s", "7", "用例")
    logging.getLogger("ingestion.worker.app").info("here")
    logging.getLogger("nearline.log").debug("not told")

    first, second = lines(tmp_path / "logs")
    assert first.pop("at").endswith("Z")
    assert first == {
        "level": "warning",
        "part": "serve",
        "logger": "serving.watch",
        "message": "bundle 7 is refused:\n用例",
    }
    assert (second["logger"], second["message"]) == ("ingestion.worker.app", "here")


def test_of_an_error_a_line_tells_the_kind_and_the_places_and_not_its_words(
    tmp_path: Path,
) -> None:
    logs.start("serve", tmp_path)
    customer = "@".join(("ann", "example.com"))  # Places show the code's own lines.
    try:
        raise KeyError(customer)
    except KeyError:
        logging.getLogger("serving").exception("it failed")

    (line,) = lines(tmp_path)
    assert line["error"].startswith("KeyError\n")
    assert "test_logs.py" in line["error"]
    assert customer not in json.dumps(line)
    assert line["message"] == "it failed"


def test_starting_again_tells_each_line_once_and_without_a_folder_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.start("serve", tmp_path)
    logs.start("worker")
    logging.getLogger("ingestion").warning("once")

    told = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["message"] for line in told] == ["once"]
    assert lines(tmp_path) == []
