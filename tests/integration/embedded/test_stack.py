"""The embedded stack with its real store."""

from __future__ import annotations

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
