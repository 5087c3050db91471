"""Where the parts may listen: on addresses of this machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nearline.embedded.stack import check_ports, with_free_ports
from nearline.embedded.valkey import free_port
from nearline.errors import PermanentError
from nearline.settings import Settings


@pytest.mark.parametrize("host", ["203.0.113.1", "::1"])  # of nobody (RFC 5737); no IPv4
@pytest.mark.parametrize("ask", [check_ports, with_free_ports])
def test_a_host_that_is_not_here_is_refused_by_its_name(
    ask: Callable[[Settings], object], host: str
) -> None:
    with pytest.raises(PermanentError, match=f"NEARLINE_HOST='{host}' cannot be listened on"):
        ask(Settings(host=host))


def test_each_call_gives_another_port_that_no_client_can_hold() -> None:
    """Linux gives 32,768 and above to whoever connects; Serve's parts listen below 26,000."""
    given = [free_port() for _ in range(300)]

    assert len(set(given)) == 300
    assert 26_000 <= min(given) < max(given) < 32_768
