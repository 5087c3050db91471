"""`nearline replay-answer` as an auditor runs it: answers of a running service, to the byte.

The service is the one that test_serve.py stops; the ladder of what replay reads stands in
test_replaying.py, without Ray.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.serving.conftest import Service, happen

pytestmark = [pytest.mark.ray, pytest.mark.redis, pytest.mark.usefixtures("champion")]

WHO = "shopper-21"


def command(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nearline", "replay-answer", *words],
        env=service.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def logged(service: Service) -> None:
    """Wait until every exposure lies on the log."""
    service.everywhere(lambda health: not health["exposures_waiting"])


def test_answers_of_a_running_service_are_made_again_though_more_has_happened(
    service: Any, shoppers: dict[str, set[str]], tiny: Any
) -> None:
    questions = [
        {"customer_id": WHO, "explain": True, "k": 20},
        {"customer_id": WHO, "scene": "cart", "item_ids": ["i3", "i5"]},
        {"customer_id": WHO, "personalization": "off"},
        *[{"customer_id": WHO, "scene": "push"}] * 3,  # Two a day are allowed.
    ]
    given: list[bytes] = []
    for number, asked in enumerate(questions):
        answer = service.http.post("/v1/recommend", json=asked)
        assert answer.status_code == 200, answer.text
        given.append(answer.content)
        names = ("view_item", "purchase")
        rows = [(7 * number + place) % tiny.ITEMS for place in (0, 1)]
        happen(
            service,
            [
                tiny.event(70_000 + 2 * number + place, WHO, name, [rows[place]], 5)
                for place, name in enumerate(names)
            ],
        )
    logged(service)
    shown = [json.loads(one) for one in given]
    assert [len(answer["items"]) for answer in shown[-3:]] == [3, 3, 0]
    assert len({answer["receipt"]["log_position"] for answer in shown}) == 6  # "" and five.

    for answer, content in zip(shown, given, strict=True):
        done = command(service, answer["response_id"], "--json")
        assert done.returncode == 0, done.stderr
        assert done.stdout.encode() == content + b"\n"
        assert f"The same, byte for byte: {len(content)} bytes" in done.stderr
        assert WHO not in done.stderr


def test_what_cannot_be_made_again_ends_with_1_and_says_what_to_do(
    service: Any, shoppers: dict[str, set[str]], wait_until: Callable[..., None]
) -> None:
    unknown = command(service, "01a1fb3e35f4c7a2c93d0b6f4e1a8d25")
    assert unknown.returncode == 1
    assert "neither the log nor history knows it" in unknown.stderr
    assert "Traceback" not in unknown.stderr

    gone = service.publish(31)
    service.everywhere(lambda health: health["bundle"] == gone)
    answer = service.recommend(WHO)
    logged(service)
    successor = service.publish(32)
    service.everywhere(lambda health: health["bundle"] == successor)
    service.publish(int(gone), "forget")
    shutil.rmtree(service.home / "bundles" / gone)

    lost = command(service, answer["response_id"])
    assert lost.returncode == 1
    assert f"its bundle {gone} is no longer in the registry. Restore that version" in lost.stderr
    assert "Traceback" not in lost.stderr
