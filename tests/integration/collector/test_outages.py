from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import redis

from nearline.embedded.valkey import EmbeddedValkey, free_port
from nearline.log import scan_partition
from nearline.v1 import ingest_pb2, ingest_pb2_grpc

pytestmark = pytest.mark.redis
GRANTED = {"consent": {"categoryPreferences": {"analytics": True}}}


def batch(first: int, size: int) -> dict[str, Any]:
    events = [
        {
            "type": "track",
            "event": "signed_up",
            "userId": f"u{number % 7}",
            "messageId": f"m{number}",
            "context": GRANTED,
        }
        for number in range(first, first + size)
    ]
    return {"batch": events}


def stored_ids(url: str) -> list[str]:
    with redis.Redis.from_url(url) as client:
        return [
            entry.event.event_id
            for partition in range(4)
            for page in scan_partition(client, partition)
            for entry in page
        ]


def test_nothing_acknowledged_is_lost_when_collector_and_log_are_killed(
    own_valkey: EmbeddedValkey, tmp_path: Path, start: Callable[[str, Path], Any]
) -> None:
    acknowledged: set[str] = set()
    for round_ in range(3):
        served = start(own_valkey.url, tmp_path / "home")
        with httpx.Client(base_url=served.http, auth=(served.key, "")) as client:
            for number in range(4):
                answer = client.post("/v1/batch", json=batch(100 * round_ + 25 * number, 25))
                verdicts = answer.json()["verdicts"]
                assert {verdict["outcome"] for verdict in verdicts} == {"accepted"}
                acknowledged |= {verdict["messageId"] for verdict in verdicts}
            served.process.kill()
        process: Any = own_valkey._process
        process.kill()
        process.wait()
        own_valkey.start()

    ids = stored_ids(own_valkey.url)

    assert len(ids) == len(set(ids)) == 300
    assert set(ids) == acknowledged


def test_while_the_log_is_down_senders_are_told_to_come_back(
    own_valkey: EmbeddedValkey, tmp_path: Path, start: Callable[[str, Path], Any]
) -> None:
    served = start(own_valkey.url, tmp_path / "home")
    sign = base64.b64encode(f"{served.key}:".encode()).decode()
    with (
        httpx.Client(base_url=served.http, auth=(served.key, "")) as client,
        grpc.insecure_channel(served.grpc) as channel,
    ):
        stub: Any = ingest_pb2_grpc.CollectorStub(channel)
        assert client.post("/v1/batch", json=batch(0, 1)).status_code == 200
        own_valkey.stop()

        refused = client.post("/v1/batch", json=batch(1, 1))
        with pytest.raises(grpc.RpcError) as caught:
            stub.Collect(
                ingest_pb2.CollectRequest(events=[ingest_pb2.SegmentEvent()]),
                metadata=[("authorization", f"Basic {sign}")],
            )

        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) > 0
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
        assert client.get("/healthz").status_code == 503
        assert "nearline_event_log_up 0.0" in client.get("/metrics").text

        own_valkey.start()
        deadline = time.monotonic() + 10
        while client.post("/v1/batch", json=batch(1, 1)).status_code != 200:
            assert time.monotonic() < deadline
    assert sorted(stored_ids(own_valkey.url)) == ["m0", "m1"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_cleanly_when_asked(
    valkey: redis.Redis,
    valkey_server: EmbeddedValkey,
    tmp_path: Path,
    start: Callable[[str, Path], Any],
    number: signal.Signals,
) -> None:
    served = start(valkey_server.url, tmp_path)

    served.process.send_signal(number)

    assert served.process.wait(15) == 0


def test_what_prevents_a_start_is_one_sentence(
    served: Any, valkey: redis.Redis, valkey_server: EmbeddedValkey, tmp_path: Path
) -> None:
    http_port, grpc_port = (address.rpartition(":")[2] for address in (served.http, served.grpc))

    def failed(**variables: str) -> str:
        environment = {
            **os.environ,
            "NEARLINE_HOME": str(tmp_path),
            "NEARLINE_REDIS_URL": valkey_server.url,
            "NEARLINE_COLLECTOR_HTTP_PORT": str(free_port()),
            "NEARLINE_COLLECTOR_GRPC_PORT": str(free_port()),
            **variables,
        }
        command = [sys.executable, "-m", "nearline", "collector"]
        ended = subprocess.run(command, env=environment, capture_output=True, timeout=30)
        assert ended.returncode == 1
        assert b"Traceback" not in ended.stderr
        return ended.stderr.decode()

    assert "NEARLINE_COLLECTOR_HTTP_PORT" in failed(NEARLINE_COLLECTOR_HTTP_PORT=http_port)
    assert "NEARLINE_COLLECTOR_GRPC_PORT" in failed(NEARLINE_COLLECTOR_GRPC_PORT=grpc_port)
    assert "did not answer" in failed(NEARLINE_REDIS_URL="redis://:secret@127.0.0.1:1/0")
    assert "secret" not in failed(NEARLINE_REDIS_URL="redis://:secret@127.0.0.1:1/0")
    valkey.hset("nl:meta", "partitions", "9")
    assert "NEARLINE_PARTITIONS=9" in failed()
