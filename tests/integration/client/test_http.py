"""The client over real HTTP, against a small server that plays both services."""

from __future__ import annotations

import base64
import itertools
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from nearline.client import AnswerUnreadable, Client, Refused, StillStale, Unavailable, Undelivered
from nearline.client.retry import Backoff
from nearline.contracts.answer import MAX_WAIT_MS, Chosen, Degradation, Scene
from nearline.contracts.position import LogPosition
from nearline.contracts.verdict import Outcome
from nearline.embedded.valkey import free_port
from nearline.errors import PermanentError

Answer = tuple[int, dict[str, str], Any]  # status, headers, JSON body


@dataclass
class Service:
    """Answers with the scripted replies first, then as Nearline would; remembers requests."""

    url: str = ""
    script: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    position_after: int = 0  # Recommend calls until the receipt shows the position.

    def answer(self, path: str, headers: dict[str, str], body: Any) -> Answer:
        self.requests.append((path, headers, body))
        if self.script:
            return self.script.pop(0)
        if path == "/v1/batch":
            return 200, {}, {"success": True, "verdicts": [_verdict(m) for m in body["batch"]]}
        if path.startswith("/v1/churn/"):
            return (
                200,
                {},
                {"response_id": "r", "scores": [], "versions": {}, "receipt": _receipt()},
            )
        if path.startswith("/v1/tags/"):
            return 200, {}, {"tags": [], "receipt": _receipt()}
        self.position_after -= 1
        return 200, {}, _recommendation("2-1000-0" if self.position_after < 0 else "2-999-7")


def _verdict(message: dict[str, Any]) -> dict[str, Any]:
    return {"outcome": "accepted", "messageId": message["messageId"], "position": "2-1000-0"}


def _receipt(position: str = "") -> dict[str, Any]:
    return {
        "log_position": position,
        "as_of_us": 1,
        "newest_event_at_us": 0,
        "newest_event_age_ms": None,
        "features_age_ms": None,
    }


def _recommendation(position: str) -> dict[str, Any]:
    item = {"item_id": "i-1", "rank": 1, "score": 0.5, "sources": ["popular"], "reasons": []}
    return {
        "response_id": "r-1",
        "scene": "cart",
        "items": [item],
        "rules": [],
        "versions": {"bundle": "3"},
        "receipt": _receipt(position),
        "degraded": ["ranker_unavailable"],
        "a_field_of_a_newer_server": True,
    }


@pytest.fixture
def service() -> Iterator[Service]:
    played = Service()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, extra, answer = played.answer(
                self.path, headers, json.loads(body) if body else None
            )
            data = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    played.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield played
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client_of(open_client: Callable[..., Client]) -> Callable[[str], Client]:
    """Opens a client, of each kind in turn, that is quick to try again."""

    def opened(url: str) -> Client:
        backoff = Backoff(first_s=0.001, longest_s=0.01)
        rng = random.Random(7)
        return open_client(
            url, url, "key-1", {"analytics": True}, backoff=backoff, rng=rng, read_timeout_s=30.0
        )

    return opened


@pytest.fixture
def client(service: Service, client_of: Callable[[str], Client]) -> Iterator[Client]:
    with client_of(service.url) as made:
        yield made


def test_events_travel_as_a_segment_batch_under_the_write_key(
    service: Service, client: Client
) -> None:
    viewed = client.view("c-1", "i-1", price=9.5, category="shoes")
    client.add_to_cart("c-1", "i-1", price=9.5)
    client.purchase("c-1", [{"item_id": "i-1", "price": 9.5}], currency="EUR")
    client.identify("c-1", {"tier": "gold"})
    client.page("c-1", "Home", {"path": "/"})

    verdicts = client.flush()

    assert [verdict.outcome for verdict in verdicts] == [Outcome.ACCEPTED] * 5
    assert verdicts[0].event_id == viewed
    assert verdicts[0].position == LogPosition(2, 1_000, 0)
    path, headers, _ = service.requests[0]
    assert path == "/v1/batch"
    assert headers["authorization"] == "Basic " + base64.b64encode(b"key-1:").decode()
    sent = [message for _, _, body in service.requests for message in body["batch"]]
    assert [m.get("event", m["type"]) for m in sent] == [
        "view_item",
        "add_to_cart",
        "purchase",
        "identify",
        "page",
    ]
    assert sent[2]["properties"]["value"] == 9.5


def test_an_overloaded_collector_gets_the_same_message_ids_again(
    service: Service, client: Client
) -> None:
    service.script = [(429, {"retry-after": "0"}, {}), (503, {}, {})]

    verdict = client.send_now("c-1", "view_item", items=[{"item_id": "i-1"}])

    assert verdict.position == LogPosition(2, 1_000, 0)
    ids = [body["batch"][0]["messageId"] for _, _, body in service.requests]
    assert len(ids) == 3
    assert len(set(ids)) == 1


def test_retry_after_beyond_the_deadline_is_told_at_once(service: Service, client: Client) -> None:
    service.script = [(429, {"retry-after": "30"}, {})]

    with pytest.raises(Unavailable, match="HTTP 429"):
        client.send_now("c-1", "view_item", timeout_s=5.0)
    assert len(service.requests) == 1


def test_a_problem_document_becomes_an_error_that_quotes_it(
    service: Service, client: Client
) -> None:
    problem = {"title": "k is out of range", "detail": "k was 500, at most 100", "code": "bad_k"}
    service.script = [(422, {"content-type": "application/problem+json"}, problem)]

    with pytest.raises(Refused, match="k was 500, at most 100") as refused:
        client.recommend("c-1", k=500)
    assert (refused.value.status, refused.value.code) == (422, "bad_k")


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.recommend("c-1", item_ids="shoes-0001"),
        lambda client: client.recommend("c-1", exclude_item_ids="shoes-0001"),
        lambda client: client.scores_batch("c-00044"),
        lambda client: client.scores("c-1", tasks="churn"),
        lambda client: client.scores("c-1", categories="shoes"),
    ],
)
def test_one_text_is_no_list_of_texts(
    service: Service, client: Client, ask: Callable[[Client], Any]
) -> None:
    with pytest.raises(TypeError, match=r"is one text; expected a list of texts, such as \w+=\["):
        ask(client)
    assert service.requests == []


def test_an_empty_write_key_asks_questions_and_sends_nothing(
    service: Service, open_client: Callable[..., Client]
) -> None:
    with open_client(service.url, service.url, " ") as client:
        assert client.recommend("c-1").items
        for send in (client.send_now, client.track):
            with pytest.raises(PermanentError, match="an empty write key: it can ask questions"):
                send("c-1", "view_item")
    assert [path for path, *_ in service.requests] == ["/v1/recommend"]


def test_consent_is_checked_when_a_client_is_opened(open_client: Callable[..., Client]) -> None:
    with pytest.raises(TypeError, match="must say True or False"):
        open_client("http://127.0.0.1:1", "http://127.0.0.1:1", "key-1", {"analytics": "yes"})


def test_answers_are_typed_and_newer_fields_are_ignored(client: Client) -> None:
    answer = client.recommend("c-1", Scene.CART, k=1)

    assert answer.scene == Scene.CART
    assert answer.items[0].item_id == "i-1"
    assert answer.versions.bundle == "3"
    assert answer.degraded == (Degradation.RANKER_UNAVAILABLE,)
    assert client.churn("c-1").scores == ()
    assert client.tags("c-1").tags == ()


def test_a_question_carries_what_was_asked_and_nothing_else(
    service: Service, client: Client
) -> None:
    client.recommend("c-1")
    client.recommend(
        "c-1",
        Scene.CART,
        5,
        item_ids=["i-1", "i-2"],
        category="shoes",
        channel="push",
        age_years=17,
        personalized=False,
        explain=True,
        min_position=LogPosition(2, 1_000, 0),
        max_wait_ms=500,
        bundle=Chosen.CHALLENGER,
        exclude_item_ids=["i-9"],
        as_of_us=7,
    )

    plain, full = [body for _, _, body in service.requests]
    assert plain == {"customer_id": "c-1"}
    assert full == {
        "customer_id": "c-1",
        "scene": "cart",
        "k": 5,
        "exclude_item_ids": ["i-9"],
        "as_of_us": 7,
        "bundle": "challenger",
        "item_ids": ["i-1", "i-2"],
        "category": "shoes",
        "channel": "push",
        "age_years": 17,
        "personalization": "off",
        "explain": True,
        "min_position": "2-1000-0",
        "max_wait_ms": 500,
    }


def test_each_attempt_says_how_much_time_is_left(service: Service, client: Client) -> None:
    service.script = [(503, {"retry-after": "0"}, {}), (429, {}, {})]

    client.recommend("c-1", timeout_s=30.0)

    left_ms = [int(headers["x-nearline-deadline-ms"]) for _, headers, _ in service.requests]
    assert len(left_ms) == 3
    assert 30_000 >= left_ms[0] > left_ms[1] > left_ms[2] > 0


def test_an_overloaded_api_is_asked_again_when_it_wants_to_be(
    service: Service, client: Client
) -> None:
    service.script = [(503, {"retry-after": "1"}, {})]

    started = time.monotonic()
    client.tags("c-1", timeout_s=10.0)

    assert time.monotonic() - started >= 1.0
    assert len(service.requests) == 2


def test_a_degradation_that_this_version_does_not_know_is_kept_by_its_name(
    service: Service, client: Client
) -> None:
    answer = _recommendation("") | {"degraded": ["stale", "moon_unavailable"]}
    service.script = [(200, {}, answer)]

    degraded = client.recommend("c-1").degraded

    assert degraded == (Degradation.STALE, "moon_unavailable")
    assert str(degraded[1]) == "moon_unavailable"
    assert "moon_unavailable" not in list(Degradation)


def test_what_is_deprecated_is_told_once_in_the_log_without_the_customer(
    service: Service, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    end = {"deprecation": "@1798761600", "sunset": "Thu, 01 Jul 2027 00:00:00 GMT"}
    tags = {"tags": [], "receipt": _receipt()}
    service.script = [(200, end, tags)] * 2

    client.tags("a-secret-customer")
    client.tags("a-secret-customer")

    (told,) = [record.getMessage() for record in caplog.records]
    assert "/v1/tags is deprecated and ends Thu, 01 Jul 2027 00:00:00 GMT" in told
    assert "a-secret-customer" not in told


def test_a_customer_id_cannot_break_out_of_its_place_in_the_path(
    service: Service, client: Client
) -> None:
    client.tags("../a b?x=1#/é")

    assert service.requests[0][0] == "/v1/tags/..%2Fa%20b%3Fx%3D1%23%2F%C3%A9"


def test_awaiting_a_position_asks_until_the_receipt_covers_it(
    service: Service, client: Client
) -> None:
    service.position_after = 3

    answer = client.await_position("c-1", "2-1000-0", timeout_s=30.0)

    assert answer.receipt.log_position == "2-1000-0"
    assert len(service.requests) == 4
    asked = [body for _, _, body in service.requests]
    assert {body["min_position"] for body in asked} == {"2-1000-0"}
    assert asked[0]["max_wait_ms"] == MAX_WAIT_MS  # 80 % of 30 s would be more
    assert asked[1]["max_wait_ms"] <= MAX_WAIT_MS


def test_awaiting_a_position_in_vain_says_what_is_shown(service: Service, client: Client) -> None:
    service.position_after = 1_000_000
    # Each answer takes 100 s by this clock, so that what the machine takes does not count.
    client._calls._exchange.monotonic = lambda: 100.0 * len(service.requests)

    with pytest.raises(StillStale, match=r"2-999-7.*2-1000-0"):
        client.await_position("c-1", LogPosition(2, 1_000, 0), timeout_s=250.0)
    assert len(service.requests) == 3


def test_an_answer_of_something_else_is_named_as_such(service: Service, client: Client) -> None:
    service.script = [(200, {}, {"hello": "world"})]

    with pytest.raises(AnswerUnreadable, match="Check that the address is Nearline's"):
        client.recommend("c-1")


def test_no_service_at_all_is_told_within_the_deadline_and_without_the_customer(
    client_of: Callable[[str], Client],
) -> None:
    client, looks = client_of(f"http://127.0.0.1:{free_port()}"), itertools.count()
    # The clock goes on by 10 s at each look, so that what the machine takes does not count.
    client._calls._exchange.monotonic = lambda: 10.0 * next(looks)
    with pytest.raises(Unavailable, match="ConnectError") as down:
        client.tags("a-secret-customer", timeout_s=100.0)
    assert "a-secret-customer" not in str(down.value)
    client.close()


def test_what_could_not_be_sent_can_be_handed_to_the_next_client(
    service: Service, client_of: Callable[[str], Client]
) -> None:
    down = client_of(f"http://127.0.0.1:{free_port()}")
    message_id = down.view("c-1", "i-1")
    with pytest.raises(Undelivered) as left:
        down.close(timeout_s=0.1)

    with client_of(service.url) as up:
        up.resend(left.value.messages)
        assert [verdict.event_id for verdict in up.flush()] == [message_id]


def test_a_program_that_forgets_to_close_still_sends_its_events(service: Service) -> None:
    program = (
        "import sys; from nearline.client import Client; "
        "Client(sys.argv[1], sys.argv[1], 'k').view('c-1', 'i-1')"
    )

    subprocess.run([sys.executable, "-c", program, service.url], check=True, timeout=60)

    assert [path for path, _, _ in service.requests] == ["/v1/batch"]


def test_an_address_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(PermanentError, match=r"expected one such as http://127\.0\.0\.1:7300"):
        Client("localhost:7300", "http://127.0.0.1:7310", "k")


def test_an_item_may_be_named_as_answers_name_it(service: Service, client: Client) -> None:
    client.send_now("c-1", "view_item", item_id="i-1", category="shoes", price_cents=1_899)

    (sent,) = service.requests[0][2]["batch"]
    line = {"item_id": "i-1", "price": 18.99, "item_category": "shoes"}
    assert sent["properties"] == {"items": [line]}
