"""Options of `nearline bench` that cannot mean anything together are refused, in a sentence."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from nearline.bench.commands import bench


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--any-port",), "--any-port chooses the ports of a system that --start starts"),
        (("--any-port", "--trials", "500"), "leave it out to measure the system that runs"),
        (("--start", "--api", "http://10.0.0.6:7310"), "--start measures the system that it"),
        (("--start", "--any-port", "--api-grpc", "10.0.0.6:7311"), "leave out the one or the"),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_anything_starts(
    words: tuple[str, ...], told: str
) -> None:
    done = CliRunner(env={"NEARLINE_LANG": "en", "COLUMNS": "200"}).invoke(bench, words)

    assert done.exit_code == 2
    assert told in done.stderr
