"""What v1 promises to the apps that are out there is kept."""

from __future__ import annotations

from tests.unit.api.snapshot import current, promised
from tests.unit.api.surface import broken


def test_nothing_that_v1_promises_is_gone_or_means_something_else() -> None:
    assert broken(promised(), current()) == []


def test_all_that_v1_offers_is_promised() -> None:
    found, known = current(), promised()
    new = sorted(
        f"{name}: {field}"
        for name, fields in found.items()
        for field, facts in fields.items()
        if known.get(name, {}).get(field) != facts
    )

    assert new == [], "run `make api`, and read what has changed in docs/api/v1.json"
