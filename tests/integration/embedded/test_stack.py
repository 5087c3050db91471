"""The embedded stack with its real store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from nearline.embedded.processes import wait_until
from nearline.embedded.stack import Stack, with_free_ports
from nearline.errors import TransientError
from nearline.settings import Settings

pytestmark = pytest.mark.redis


def test_a_store_that_stopped_by_itself_is_noticed(tmp_path: Path) -> None:
    with Stack(with_free_ports(Settings(home=tmp_path))) as stack:
        stack.store()
        stack.check_running()
        with redis.Redis.from_url(stack.settings.redis_address) as client:
            client.shutdown(nosave=True)

        with pytest.raises(TransientError, match="Valkey stopped by itself"):
            wait_until({"never": lambda: bool(stack.check_running())}, [], limit_s=20)


def test_up_with_broken_policy_files_and_no_good_ones_ends_with_each_mistake_and_its_line(
    tmp_path: Path,
) -> None:
    file = tmp_path / "policy" / "rules.yaml"
    file.parent.mkdir()
    file.write_text("rules:\n  seen_share: 40\n")
    environ = {name: value for name, value in os.environ.items() if "NEARLINE" not in name}

    done = subprocess.run(
        [sys.executable, "-m", "nearline", "up", "--any-port"],
        env={**environ, "NEARLINE_HOME": str(tmp_path), "NEARLINE_LANG": "en"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1
    assert "serve stopped by itself (exit 1)" in done.stderr
    assert f"{file}:2: rules.seen_share is '40'" in done.stderr
