"""Growth at a size of seconds: a bundle by training's parts, real rows, a replica that answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from nearline.bench.aside import serve_echo
from nearline.bench.growth.run import measure
from nearline.settings import Settings, to_environ


@pytest.mark.redis
@pytest.mark.slow
def test_a_small_shop_is_made_loaded_and_asked(tmp_path: Path) -> None:
    bars: dict[str, list[int]] = {}

    def progress(en: str, zh: str, steps: int) -> Callable[[], None]:
        moved = bars.setdefault(en, [0, steps])

        def advance() -> None:
            moved[0] += 1

        return advance

    found = measure(tmp_path, items=500, customers=300, calls=20, seed=7, progress=progress)

    assert (found.items.rows, found.customers.rows) == (500, 300)
    assert found.items.bytes > 0
    assert found.customers.bytes > 0
    inside = found.inside
    assert inside.items == 500
    assert inside.degraded == []
    assert len(inside.answers_ms) == 20
    assert min(inside.candidates) > 10
    assert inside.load_bundle_s > 0
    assert inside.load_items_s > 0
    for whole, parts in zip(
        inside.answers_ms,
        zip(*(inside.stages_ms[name] for name in ("read", "compose", "keep", "json")), strict=True),
        strict=True,
    ):
        assert all(part > 0 for part in parts)
        assert sum(parts) <= whole * 1.01
    assert [tried.kind for tried in found.made.tried] == ["flat", *["hnsw"] * 4]
    assert found.made.chosen == "flat"
    assert {moved for moved, _ in bars.values()} == {steps for _, steps in bars.values()}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ray
@pytest.mark.slow
def test_ray_serves_echo_answers_with_the_bytes_that_it_is_given() -> None:
    with serve_echo(to_environ(Settings()), b'{"items": []}') as url:
        answer = httpx.post(f"{url}/v1/recommend", json={"customer_id": "c"}, trust_env=False)

    assert (answer.status_code, answer.content) == (200, b'{"items": []}')
