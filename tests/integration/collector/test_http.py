from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import redis

from ingestion.collector.app import Parts, open_parts
from nearline import keys, write_keys
from nearline.clock import FixedClock
from nearline.contracts.event import Event
from nearline.contracts.position import LogPosition, start_of
from nearline.log import read_after
from nearline.settings import Settings

pytestmark = pytest.mark.redis
Tell = Callable[[Any], Any]
GRANTED = {"consent": {"categoryPreferences": {"analytics": True, "personalization": True}}}


def view(message_id: str, **members: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "view_item",
        "userId": "ada",
        "messageId": message_id,
        "properties": {"items": [{"item_id": "i1", "price": 9.5}]},
        "context": GRANTED,
        **members,
    }


def post(tell: Tell, path: str, **request: Any) -> httpx.Response:
    async def story(client: httpx.AsyncClient, parts: Parts) -> httpx.Response:
        return await client.post(path, **request)

    answer: httpx.Response = tell(story)
    return answer


def outcomes(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [verdict["outcome"] for verdict in answer.json()["verdicts"]]


def test_each_event_of_a_batch_gets_its_verdict_in_its_place(
    tell: Tell, valkey: redis.Redis
) -> None:
    batch = [view("1"), view("1"), 3, view("2", context={}), view("3", userId="bob")]

    answer = post(tell, "/v1/batch", json={"batch": batch})

    assert outcomes(answer) == ["accepted", "duplicate", "rejected", "consent_refused", "accepted"]
    first = answer.json()["verdicts"][0]
    assert answer.json()["success"] is True
    assert set(first) == {"outcome", "messageId", "position", "code", "hint"}
    position = LogPosition.parse(first["position"])
    page = read_after(
        valkey, {position.partition: start_of(position.partition)}, count=1, block_ms=None
    )
    (entry,) = page[position.partition]
    assert entry.position == position
    assert entry.event.event_id == "1"


def test_one_bad_event_spoils_neither_its_batch_nor_its_neighbours(tell: Tell) -> None:
    good = [json.dumps(view(str(number))) for number in range(2)]
    body = '{"batch":[' + good[0] + ',{"price":NaN},{"a":[1},' + good[1] + "]}"

    answer = post(tell, "/v1/batch", content=body)

    assert outcomes(answer) == ["accepted", "rejected", "rejected", "accepted"]


def test_the_same_event_in_two_requests_is_a_duplicate(tell: Tell) -> None:
    async def story(client: httpx.AsyncClient, parts: Parts) -> list[str]:
        return [outcomes(await client.post("/v1/track", json=view("1")))[0] for _ in range(2)]

    assert tell(story) == ["accepted", "duplicate"]


def test_the_law_holds_under_random_batches(tell: Tell, valkey: redis.Redis) -> None:
    dice = random.Random(2026)
    kinds: list[Callable[[], str]] = [
        lambda: json.dumps(view(f"m{(n := dice.randrange(30))}", userId=f"u{n % 9}")),
        lambda: json.dumps(view(f"m{dice.randrange(60)}", context={})),
        lambda: json.dumps(view(f"m{dice.randrange(60)}", userId=None)),
        lambda: json.dumps({k: v for k, v in view("").items() if k != "messageId"}),
        lambda: '{"a":NaN}',
        lambda: '{"a":"' + "x" * 40_000 + '"}',
        lambda: dice.choice(["3", "null", "[]", "{}", '"text"', "1e999"]),
    ]

    async def story(client: httpx.AsyncClient, parts: Parts) -> tuple[Counter[str], dict[str, int]]:
        said: Counter[str] = Counter()
        for _ in range(60):
            events = [dice.choice(kinds)() for _ in range(dice.randrange(9))]
            answer = await client.post("/v1/batch", content='{"batch":[' + ",".join(events) + "]}")
            assert len(outcomes(answer)) == len(events)
            said.update(outcomes(answer))
            counts = await parts.intake.log.counts()
            assert counts["received"] == sum(said.values()) == sum(counts.values()) / 2
        for _ in range(30):
            answer = await client.post("/v1/track", content=dice.choice(kinds)())
            said.update(verdict["outcome"] for verdict in answer.json()["verdicts"])
        return said, await parts.intake.log.counts()

    said, counts = tell(story)

    assert counts == {
        "received": said.total(),
        "stored": said["accepted"],
        "duplicate": said["duplicate"],
        "rejected": said["rejected"],
        "consent_refused": said["consent_refused"],
    }
    assert min(said.values()) > 10
    assert sum(valkey.xlen(keys.log(p)) for p in range(4)) == said["accepted"]
    assert sum(valkey.xlen(keys.dead_letters(p)) for p in range(4)) == said["rejected"]


def test_an_event_is_known_when_its_body_has_arrived_not_when_it_began(settings: Settings) -> None:
    clock = FixedClock(1_795_000_000_000_000)
    said = json.dumps({"batch": [view("1", timestamp="2026-11-18T00:00:00Z")]}).encode()

    async def slow_body() -> AsyncIterator[bytes]:
        yield said[:10]
        clock.advance(20_000_000)  # 20 s on a slow line
        yield said[10:]

    async def story() -> Event:
        async with open_parts(settings, clock) as parts:
            transport = httpx.ASGITransport(app=parts.http())
            key = write_keys.key_named(settings.home)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://collector", auth=(key, "")
            ) as client:
                answer = await client.post("/v1/batch", content=slow_body())
        token = LogPosition.parse(answer.json()["verdicts"][0]["position"])
        with redis.Redis.from_url(settings.redis_url) as store:
            page = read_after(
                store, {token.partition: start_of(token.partition)}, count=1, block_ms=None
            )
        return page[token.partition][0].event

    assert asyncio.run(story()).known_at_us == 1_795_000_020_000_000


def test_nothing_of_an_event_without_consent_is_kept(tell: Tell, valkey: redis.Redis) -> None:
    events = [view("1", context={}, userId="secret-name"), {"userId": "secret-name", "x": 1}]

    assert set(outcomes(post(tell, "/v1/batch", json={"batch": events}))) == {"consent_refused"}

    kept = [valkey.dump(key) or b"" for key in valkey.scan_iter()]
    assert kept
    assert not any(b"secret-name" in value for value in kept)


@pytest.mark.parametrize(
    ("path", "event"),
    [
        ("/v1/track", {"event": "signed_up"}),
        ("/v1/identify", {"traits": {"plan": "pro"}}),
        ("/v1/page", {"name": "Home"}),
        ("/v1/screen", {"name": "Home"}),
        ("/v1/group", {"groupId": "g1"}),
        ("/v1/alias", {"previousId": "anon"}),
        ("/v1/t", {"event": "signed_up"}),
        ("/v1/p", {}),
    ],
)
def test_every_single_call_is_taken(tell: Tell, path: str, event: dict[str, Any]) -> None:
    body = {"userId": "ada", "context": GRANTED, **event}

    answer = post(tell, path, json=body)

    assert outcomes(answer) == ["accepted"]
    assert "messageId" in answer.json()["verdicts"][0]["hint"]


def test_a_single_rejected_event_is_a_problem_that_carries_its_verdict(tell: Tell) -> None:
    answer = post(tell, "/v1/track", json=view("1", userId=None))

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == problem["verdicts"][0]["code"] == "user_missing"
    assert problem["type"] == "urn:nearline:problem:user_missing"
    assert post(tell, "/v1/track", content=b"{").json()["code"] == "json_invalid"
    large = view("1", properties={"item_id": "i", "x": "y" * 33_000})
    assert post(tell, "/v1/track", json=large).status_code == 413


def test_the_write_key_may_lie_in_the_body_as_browsers_send_it(
    tell: Tell, settings: Settings
) -> None:
    async def story(client: httpx.AsyncClient, parts: Parts) -> list[httpx.Response]:
        key = client.auth._auth_header  # type: ignore[union-attr]
        assert isinstance(key, str)
        from ingestion.collector.auth import basic_key

        client.auth = None
        plain = {"Content-Type": "text/plain"}
        single = json.dumps(view("1", writeKey=basic_key(key)))
        batch = json.dumps({"batch": [view("2")], "writeKey": basic_key(key)})
        return [
            await client.post("/v1/t", content=single, headers=plain),
            await client.post("/v1/batch", content=batch, headers=plain),
        ]

    single, batch = tell(story)

    assert outcomes(single) == outcomes(batch) == ["accepted"]


@pytest.mark.parametrize("auth", [("wrong", ""), ("", ""), None])
def test_without_a_known_write_key_nothing_is_taken(
    tell: Tell, auth: tuple[str, str] | None, valkey: redis.Redis
) -> None:
    async def story(client: httpx.AsyncClient, parts: Parts) -> httpx.Response:
        client.auth = auth
        return await client.post("/v1/batch", json={"batch": [view("1")], "writeKey": "wrong"})

    answer = tell(story)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert not valkey.keys("nl:*log")


@pytest.mark.parametrize(
    ("path", "request_", "status", "code"),
    [
        ("/v1/batch", {"content": b"nope"}, 400, "json_invalid"),
        ("/v1/batch", {"content": b'{"batch":[1'}, 400, "json_invalid"),
        ("/v1/batch", {"content": b'{"batch":3}'}, 422, "batch_missing"),
        ("/v1/batch", {"content": b'{"batch":[' + b"1," * 2_500 + b"1]}"}, 413, "too_many_events"),
        ("/v1/batch", {"content": b" " * 512_001}, 413, "batch_too_large"),
        ("/v1/track", {"content": b" " * 512_001}, 413, "batch_too_large"),
        (
            "/v1/batch",
            {
                "content": gzip.compress(b"[" * 9_000_000),
                "headers": {"Content-Encoding": "gzip"},
            },
            413,
            "batch_too_large",
        ),
        (
            "/v1/batch",
            {"content": b"{}", "headers": {"Content-Encoding": "gzip"}},
            400,
            "gzip_invalid",
        ),
        (
            "/v1/batch",
            {"content": b"{}", "headers": {"Content-Encoding": "br"}},
            415,
            "encoding_unknown",
        ),
        (
            "/v1/batch",
            {"content": b"{}", "headers": {"Content-Type": "text/xml"}},
            415,
            "media_type_unknown",
        ),
        ("/v1/nothing", {}, 404, "not_found"),
        ("/healthz", {}, 405, "method_not_allowed"),
    ],
)
def test_what_cannot_be_understood_is_a_problem_and_counts_nothing(
    tell: Tell,
    valkey: redis.Redis,
    path: str,
    request_: dict[str, Any],
    status: int,
    code: str,
) -> None:
    answer = post(tell, path, **request_)

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["detail"]
    assert not valkey.keys("nl:*counts")


def test_gzip_bodies_are_taken(tell: Tell) -> None:
    body = gzip.compress(json.dumps({"batch": [view("1")]}).encode())

    answer = post(tell, "/v1/batch", content=body, headers={"Content-Encoding": "gzip"})

    assert outcomes(answer) == ["accepted"]


def test_metrics_show_the_law_and_health_says_ok(tell: Tell) -> None:
    async def story(client: httpx.AsyncClient, parts: Parts) -> tuple[str, httpx.Response]:
        await client.post("/v1/batch", json={"batch": [view("1"), view("1"), 3]})
        return (await client.get("/metrics")).text, await client.get("/healthz")

    page, health = tell(story)

    assert health.json() == {"status": "ok"}
    lines = page.splitlines()
    for line in (
        "nearline_events_received_total 3.0",
        'nearline_events_total{outcome="accepted"} 1.0',
        'nearline_events_total{outcome="duplicate"} 1.0',
        'nearline_events_total{outcome="rejected"} 1.0',
        'nearline_events_total{outcome="consent_refused"} 0.0',
        "nearline_dead_letters 1.0",
        "nearline_event_log_up 1.0",
    ):
        assert line in lines
    assert 'call="/v1/batch",status="200",transport="http"' in page


def test_a_shops_page_on_another_origin_may_send(tell: Tell) -> None:
    answer = post(tell, "/v1/track", json=view("1"), headers={"Origin": "https://shop.example"})

    assert answer.headers["access-control-allow-origin"] == "*"
