from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from nearline.demo.commands import demo
from nearline.embedded.processes import Child, environ_with, marked, sweep, wait_until
from nearline.embedded.stack import Stack, check_ports, with_free_ports
from nearline.errors import PermanentError, TransientError
from nearline.settings import Settings

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
# Starts a grandchild in a session of its own and ends: what Ray's daemons look like to us.
ORPHAN = [
    sys.executable,
    "-c",
    "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; "
    "time.sleep(60)'], start_new_session=True)",
]


def test_a_child_that_stops_by_itself_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    child = Child(
        "worker", [sys.executable, "-c", "print('no disk'); exit(3)"], os.environ, tmp_path / "log"
    )

    with pytest.raises(TransientError, match=r"(?s)worker stopped by itself \(exit 3\).*no disk"):
        wait_until({"worker": lambda: False}, [child], limit_s=30)


def test_what_an_earlier_run_said_is_not_told_as_the_end_of_this_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of yesterday\n")
    child = Child("worker", [sys.executable, "-c", "print('today')"], os.environ, log)

    with pytest.raises(TransientError) as told:
        wait_until({"worker": lambda: False}, [child], limit_s=30)

    assert "today" in str(told.value)
    assert "yesterday" not in str(told.value)


def test_what_never_becomes_ready_is_named_at_the_limit(tmp_path: Path) -> None:
    child = Child("serve", SLEEP, os.environ, tmp_path / "log")

    with pytest.raises(TransientError, match="serve did not become ready"):
        wait_until({"serve": lambda: False, "worker": lambda: True}, [child], limit_s=0)

    child.stop(limit_s=10)
    assert child.exit_code is not None


def test_sweeping_finds_what_outlived_its_parent() -> None:
    subprocess.run(ORPHAN, env=environ_with("test-orphan", {}), check=True)
    assert len(marked("test-orphan")) == 1

    sweep("test-orphan")

    assert marked("test-orphan") == []


def test_leaving_a_stack_leaves_no_process(tmp_path: Path) -> None:
    with Stack(Settings(home=tmp_path)) as stack:
        sleeper = subprocess.Popen(SLEEP, env=stack.environ)
        subprocess.run(ORPHAN, env=stack.environ, check=True)
        stack_id = stack.environ["NEARLINE_STACK"]
        assert len(marked(stack_id)) == 2

    sleeper.wait(10)
    assert marked(stack_id) == []


def test_what_a_killed_run_left_behind_is_cleaned_up_by_the_next(tmp_path: Path) -> None:
    leave = (
        "import os, subprocess, sys; from pathlib import Path;"
        "from nearline.embedded.stack import Stack; from nearline.settings import Settings;"
        "stack = Stack(Settings(home=Path(sys.argv[1]))).__enter__();"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
        " env=stack.environ, start_new_session=True, stdout=subprocess.DEVNULL);"
        "print(stack.environ['NEARLINE_STACK'], flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", leave, str(tmp_path)], stdout=subprocess.PIPE, check=False
    )
    stack_id = killed.stdout.decode().strip()
    assert len(marked(stack_id)) == 1

    with Stack(Settings(home=tmp_path)):
        assert marked(stack_id) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children")
def test_a_child_does_not_outlive_us_even_when_we_are_killed(tmp_path: Path) -> None:
    start_and_die = (
        "import os, sys; from pathlib import Path;"
        "from nearline.embedded.processes import Child;"
        "child = Child('sleep', sys.argv[2:], os.environ, Path(sys.argv[1]));"
        "print(child._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", start_and_die, str(tmp_path / "log"), *SLEEP],
        stdout=subprocess.PIPE,
        check=False,
    )

    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(killed.stdout)).wait(20)  # Raises TimeoutExpired while it lives.


def test_a_taken_port_is_named_with_its_variable() -> None:
    settings = with_free_ports(Settings())
    check_ports(settings)

    with socket.socket() as taken:
        taken.bind((settings.host, settings.collector_http_port))
        taken.listen()
        with pytest.raises(PermanentError, match=r"collector \(HTTP\): NEARLINE_COLLECTOR_HTTP_P"):
            check_ports(settings)


def test_the_history_writers_port_is_looked_at_as_well() -> None:
    settings = with_free_ports(Settings())

    with socket.socket() as taken:
        taken.bind((settings.host, settings.metrics_port + 1))
        taken.listen()
        with pytest.raises(PermanentError, match=r"history writer: NEARLINE_METRICS_PORT"):
            check_ports(settings)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """A home folder that another nearline uses, with something in it."""
    home = tmp_path / "demo"
    (home / "stages").mkdir(parents=True)
    (home / "stages" / "history.json").write_text("{}")
    os.utime(home / "stages" / "history.json", (1, 1))  # Made in 1970: long stale.
    with subprocess.Popen([*SLEEP, "nearline"]) as other:
        (home / "stack.json").write_text(json.dumps({"stack": "other", "pid": other.pid}))
        yield home
        other.kill()


@pytest.mark.parametrize("arguments", [["--any-port"], ["--any-port", "--clean"]])
def test_a_second_demo_removes_nothing_under_the_feet_of_the_first(
    running: Path, arguments: list[str]
) -> None:
    second = CliRunner(env={"NEARLINE_HOME": str(running.parent)}).invoke(demo, arguments)

    assert isinstance(second.exception, PermanentError)
    assert "is using" in str(second.exception)
    assert (running / "stages" / "history.json").exists()
