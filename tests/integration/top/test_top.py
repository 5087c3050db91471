"""The command itself: against pages over HTTP, in a pipe and in a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nearline.embedded.valkey import EmbeddedValkey, free_port

GATEWAY = """# TYPE nearline_freshness_ms histogram
nearline_freshness_ms_bucket{{le="10.0"}} {0}
nearline_freshness_ms_bucket{{le="+Inf"}} {0}
nearline_freshness_ms_count {0}
nearline_freshness_ms_sum 1
"""


@pytest.fixture
def gateway() -> Iterator[int]:
    """Answers /metrics with ten more observations each time, and /healthz with a bundle."""
    seen = iter(range(10, 1_000_000, 10))

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            text = GATEWAY.format(next(seen)) if self.path == "/metrics" else '{"bundle": "42"}'
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def environ(gateway: int, valkey_server: EmbeddedValkey, tmp_path: Path) -> dict[str, str]:
    """Only the gateway and the store run; nothing answers at the other ports."""
    return {
        **os.environ,
        "NEARLINE_LANG": "en",
        "NEARLINE_HOME": str(tmp_path),
        "NEARLINE_REDIS_URL": valkey_server.url,
        "NEARLINE_API_HTTP_PORT": str(gateway),
        "NEARLINE_COLLECTOR_HTTP_PORT": str(free_port()),
        "NEARLINE_METRICS_PORT": str(free_port()),
        "TERM": "xterm",
    }


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "nearline", "top", *options]


def shown(environ: dict[str, str], what: str, *options: str) -> str:
    """What it prints; once more, a few times, where `what` is missing.

    It gives each part a second to answer, and a machine may pause for longer.
    """
    for _ in range(5):
        done = subprocess.run(
            command(*options, "--every", "0.2"),
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        if what in done.stdout:
            break
    return done.stdout


def test_json_gives_the_figures(environ: dict[str, str]) -> None:
    found = json.loads(shown(environ, '"p50"', "--json"))

    assert found["bundle"] == "42"
    assert found["freshness_ms"]["p50"] == 5.0
    parts = {part["name"]: part for part in found["parts"]}
    assert {name for name, part in parts.items() if part["up"]} == {"serve", "redis"}
    assert parts["worker"]["problem"] == "ConnectError"
    assert parts["redis"]["memory_bytes"] > 1_000_000


def test_once_prints_one_table_as_a_pipe_does(environ: dict[str, str]) -> None:
    for options in (["--once"], []):
        said = shown(environ, "Freshness", *options)

        assert "does not answer (ConnectError): nearline worker" in said
        assert said.count("Freshness") == 1


def test_one_table_covers_the_window_that_is_asked_for(environ: dict[str, str]) -> None:
    done = subprocess.run(
        command("--json", "--every", "0.2", "--window", "1"),
        env=environ,
        capture_output=True,
        timeout=60,
    )

    assert json.loads(done.stdout)["window_s"] >= 1.0
    assert b"counting for 1 s" in done.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_in_a_terminal_it_looks_again_until_it_is_stopped_and_leaves_the_screen_as_it_was(
    environ: dict[str, str], sent: signal.Signals
) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command("--every", "0.2"), env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + 60.0
    while shown.count(b"bundle 42") < 2 and time.monotonic() < deadline:
        if select.select([ours], [], [], 0.1)[0]:
            shown += os.read(ours, 65_536)
    process.send_signal(sent)
    try:
        while chunk := os.read(ours, 65_536):
            shown += chunk
    except OSError:
        pass  # The other end is closed: it has ended.
    assert process.wait(10.0) == 0
    os.close(ours)
    assert shown.count(b"bundle 42") >= 2
    assert shown.startswith(b"\x1b[?1049h")  # the other screen, and back to the one before
    assert shown.rstrip().endswith(b"\x1b[?25h") or b"\x1b[?1049l" in shown[-40:]
    assert b"Traceback" not in shown
