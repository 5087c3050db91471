"""Where the parts may listen: on addresses of this machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nearline.embedded.stack import check_ports, with_free_ports
from nearline.errors import PermanentError
from nearline.settings import Settings


@pytest.mark.parametrize("host", ["203.0.113.1", "::1"])  # of nobody (RFC 5737); no IPv4
@pytest.mark.parametrize("ask", [check_ports, with_free_ports])
def test_a_host_that_is_not_here_is_refused_by_its_name(
    ask: Callable[[Settings], object], host: str
) -> None:
    with pytest.raises(PermanentError, match=f"NEARLINE_HOST='{host}' cannot be listened on"):
        ask(Settings(host=host))
