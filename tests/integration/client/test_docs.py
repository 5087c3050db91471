"""Every program of docs/clients.md runs as it stands there: a real collector, the API's own doors.

Behind those doors answers a shop in memory, which has seen every event that it is asked to see.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import grpc
import grpc.aio
import msgspec
import pytest
import redis
import uvicorn
from google.protobuf import descriptor_pb2

from nearline.client import Client
from nearline.contracts.answer import (
    ChurnAnswer,
    Recommendation,
    RecommendQuery,
    ScoresAnswer,
    ScoresQuery,
    TagsAnswer,
)
from nearline.embedded.valkey import free_port
from serving import examples
from serving.grpc_api import RECOMMENDATIONS, GrpcApi
from serving.http_api import build

pytestmark = pytest.mark.redis
ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python|sh)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PROGRAMS = [text for kind, text in BLOCKS if kind == "python"]
SCRIPTS = [text for kind, text in BLOCKS if kind == "sh"]


class ShopInMemory:
    """Answers as the examples of the OpenAPI document do, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[RecommendQuery] = []
        self.scores_asked: list[ScoresQuery] = []

    async def recommend(self, query: RecommendQuery, *_: Any) -> Recommendation:
        self.asked.append(query)
        answer = msgspec.convert(examples.RECOMMENDATION, Recommendation)
        receipt = replace(answer.receipt, log_position=query.min_position)
        return replace(answer, scene=query.scene, receipt=receipt)

    async def churn(self, *_: Any) -> ChurnAnswer:
        return msgspec.convert(examples.CHURN, ChurnAnswer)

    async def scores(self, query: ScoresQuery, *_: Any) -> tuple[ScoresAnswer, ...]:
        self.scores_asked.append(query)
        answer = msgspec.convert(examples.SCORES, ScoresAnswer)
        return tuple(replace(answer, customer_id=one) for one in query.customer_ids)

    async def tags(self, *_: Any) -> TagsAnswer:
        return msgspec.convert(examples.TAGS, TagsAnswer)


@dataclass(frozen=True, slots=True)
class RunningApi:
    shop: ShopInMemory
    http_port: int
    grpc_port: int


@pytest.fixture
def api() -> Iterator[RunningApi]:
    shop, http_port, grpc_port = ShopInMemory(), free_port(), free_port()
    started, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        nothing: Any = None
        app = build(shop, nothing, nothing)  # type: ignore[arg-type]
        http = uvicorn.Server(uvicorn.Config(app, port=http_port, log_level="error"))
        doors = GrpcApi(shop)  # type: ignore[arg-type]
        calls = {
            name: grpc.unary_unary_rpc_method_handler(
                call, response_serializer=lambda message: message.SerializeToString()
            )
            for name, call in (
                ("Recommend", doors.recommend),
                ("Churn", doors.churn),
                ("Tags", doors.tags),
            )
        }
        rpc = grpc.aio.server()
        rpc.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(RECOMMENDATIONS, calls),)
        )
        rpc.add_insecure_port(f"127.0.0.1:{grpc_port}")
        await rpc.start()
        serving = asyncio.create_task(http.serve())
        while not http.started:
            await asyncio.sleep(0.01)
        started.set()
        await over.wait()
        http.should_exit = True
        await serving
        await rpc.stop(None)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(30.0)
    yield RunningApi(shop, http_port, grpc_port)
    loop.call_soon_threadsafe(over.set)
    thread.join(30.0)
    loop.close()


class Collector(Protocol):
    """What the fixture gives."""

    @property
    def url(self) -> str: ...

    @property
    def grpc_port(self) -> int: ...

    @property
    def home(self) -> Path: ...


def here(text: str, collector: Collector, api: RunningApi) -> str:
    """The program with the addresses and the home of this test instead of the page's.

    And with longer limits, since a test machine may pause for seconds.
    """
    for written, ours in {
        "http://127.0.0.1:7300": collector.url,
        "127.0.0.1:7301": f"127.0.0.1:{collector.grpc_port}",
        "127.0.0.1:7310": f"127.0.0.1:{api.http_port}",
        "127.0.0.1:7311": f"127.0.0.1:{api.grpc_port}",
        ".nearline/demo": str(collector.home),
        "timeout_s=1.0": "timeout_s=30.0",
        "timeout=0.5": "timeout=30.0",
        "timeout=2.0": "timeout=30.0",
        '"view_item", item_id': '"view_item", timeout_s=30.0, item_id',  # send_now's is 5 s.
        "    write_key=any_key(": "    read_timeout_s=30.0, write_key=any_key(",
    }.items():
        assert written in PAGE, written
        text = text.replace(written, ours)
    return text


def run(command: list[str]) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "PATH": path, "no_proxy": "*", "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_each_program_of_the_page_runs_as_it_stands(
    number: int, collector: Collector, api: RunningApi
) -> None:
    output = run([sys.executable, "-c", here(PROGRAMS[number], collector, api)])

    assert output.strip()


def test_the_page_asks_for_what_it_says(collector: Collector, api: RunningApi) -> None:
    run([sys.executable, "-c", here(PROGRAMS[0], collector, api)])

    home, cart, plain = api.shop.asked
    assert home.min_position.count("-") == 2
    assert (cart.scene, cart.k, cart.item_ids, cart.explain) == ("cart", 4, ("shoes-0122",), True)
    assert not plain.personalized
    ann, both = api.shop.scores_asked
    assert (ann.tasks, ann.reasons) == (("repurchase", "category_demand"), True)
    assert (both.customer_ids, both.reasons) == (("customer-1", "customer-2"), False)


def test_scores_are_asked_for_as_they_are_named(api: RunningApi) -> None:
    with Client("http://127.0.0.1:1", f"http://127.0.0.1:{api.http_port}", "key") as shop:
        one = shop.scores(
            "a/b 张", tasks=("churn",), categories=("shoes & hats",), reasons=False, as_of_us=5
        )
        many = shop.scores_batch([f"c-{n}" for n in range(200)], as_of_us=7)

    assert one.customer_id == "a/b 张"
    assert [answer.customer_id for answer in many] == [f"c-{n}" for n in range(200)]
    assert api.shop.scores_asked[0] == ScoresQuery(
        ("a/b 张",), ("churn",), ("shoes & hats",), False, 5
    )
    assert (api.shop.scores_asked[1].as_of_us, api.shop.scores_asked[1].reasons) == (7, True)


def test_the_shell_commands_of_the_page_are_answered(collector: Collector, api: RunningApi) -> None:
    (script,) = [text for text in SCRIPTS if "curl" in text]

    output = run(["bash", "-e", "-c", here(script, collector, api)])

    assert '"outcome":"accepted"' in output
    assert output.count('"response_id"') == 3
    assert [query.personalized for query in api.shop.asked] == [True, False]


def test_the_descriptors_are_made_by_the_command_of_the_page(tmp_path: Path) -> None:
    (script,) = [text for text in SCRIPTS if "protoc" in text]
    made = tmp_path / "nearline.binpb"

    run(["bash", "-e", "-c", script.replace("nearline.binpb", str(made))])

    files = descriptor_pb2.FileDescriptorSet.FromString(made.read_bytes()).file
    services = {service.name for file in files for service in file.service}
    assert services == {"Collector", "Recommendations"}


def test_nothing_on_the_page_stands_outside_what_is_run() -> None:
    fences = re.findall(r"^```(\w*)", PAGE, re.MULTILINE)

    # The file of keys is read by tests/unit/collector/test_write_keys.py.
    assert [kind for kind in fences if kind not in ("", "json")] == [kind for kind, _ in BLOCKS]
    assert fences.count("json") == 1
    assert (len(PROGRAMS), len(SCRIPTS)) == (4, 2)


def test_every_error_of_the_client_is_explained() -> None:
    import nearline.client.errors as errors
    from nearline.client import __all__ as offered

    kinds = {name for name in offered if hasattr(errors, name)}
    told = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert told == kinds


@pytest.fixture
def collector(running_collector: Any, valkey: redis.Redis) -> Any:
    return running_collector
