"""How HAProxy and Ray's processes are told to listen on one address, and to ask again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nearline.errors import PermanentError
from serving.ingress import HOST_VARIABLE, environment, mended, with_doors_on

# A `bind` that names no address, or all of them.
ANYWHERE = re.compile(r"^\s*bind\s+(?:\*|\[?::\]?|0\.0\.0\.0)?:\S*", re.MULTILINE)

# In a process of its own, as Ray starts one: the hook first, then what Ray itself imports.
AS_RAY_WOULD = """
import sys
{hook}
from ray.serve._private import haproxy
sys.stdout.write(haproxy.HAPROXY_CONFIG_TEMPLATE)
"""


def template(hook: str) -> str:
    """What the installed Ray's proxy would write its configuration from."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", AS_RAY_WOULD.format(hook=hook)],
        env={**os.environ, HOST_VARIABLE: "127.9.9.9"},
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.ray
def test_the_installed_rays_proxy_opens_nothing_to_everybody_after_the_hook() -> None:
    plain = template("from ray import serve")
    assert len(ANYWHERE.findall(plain)) == 2, "Ray's template has changed: read it again"

    ours = template("from serving import workers; workers.set_up()")

    assert ANYWHERE.findall(ours) == []
    assert ours == mended(plain, "127.9.9.9")
    assert "errorfile" not in ours
    assert "status 503" in ours.split("\nbackend default_backend\n")[1].split("\n{%-")[0]
    bound = re.findall(r"^\s*bind\s+(\S+?):\{\{ (\S+)", ours, re.MULTILINE)
    assert bound == [
        ("127.0.0.1", "config.metrics_port"),
        ("127.9.9.9", "config.frontend_port"),
        ("127.9.9.9", "config.grpc_frontend_port"),
        ("127.0.0.1", "config.stats_port"),
    ]


def test_the_proxy_holds_each_question_whole_so_that_it_can_ask_another_replica() -> None:
    ours = template("from serving import workers; workers.set_up()")

    door = ours[ours.index("\nfrontend http_frontend\n") : ours.index("\nbackend ")]
    assert "\n    option http-buffer-request\n" in door
    # A gRPC stream may never be whole.
    assert ours.count("option http-buffer-request") == 1
    # For as long as connecting may take it pauses before it asks another.
    assert re.findall(r"timeout connect (?!{{ backend)(\S+)", ours) == ["100ms{%"]


@pytest.mark.ray
def test_what_the_proxy_refuses_by_itself_is_a_problem_as_far_as_it_lets_us() -> None:
    ours = template("from serving import workers; workers.set_up()")
    defaults = ours[ours.index("\ndefaults\n") : ours.index("\nfrontend ")]

    said = re.findall(r"http-error status (\d+) content-type (\S+) string '(.*)'", defaults)

    assert [int(status) for status, *_ in said] == [400, 408, 500, 502, 503, 504]
    assert {kind for _, kind, _ in said} == {"application/problem+json"}
    for status, _, text in said:
        # 502 to 504 all say 503: that nobody answers right now.
        assert json.loads(text)["status"] == min(int(status), 500) or int(status) > 500


def test_other_lines_stay_as_they_are() -> None:
    written = "  bind :{{ a }}\n  bind *:{{ b }} proto h2\n  bind {{ host }}:{{ c }}\n  # bind: *\n"

    assert with_doors_on(written, "10.0.0.1") == (
        "  bind 127.0.0.1:{{ a }}\n  bind 127.0.0.1:{{ b }} proto h2\n"
        "  bind {{ host }}:{{ c }}\n  # bind: *\n"
    )


BETWEEN = """
from serving import workers
workers.keep_grpc_to_loopback()
from ray.serve._private import replica

class Server:
    def add_insecure_port(self, address):
        print(address)
        return 1

replica.add_port_to_grpc_server(Server(), "[::]:0")
"""


@pytest.mark.ray
def test_what_deployments_ask_each_other_by_is_on_loopback_whatever_the_host_is() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BETWEEN],
        env={**os.environ, HOST_VARIABLE: "0.0.0.0"},
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )

    assert done.stdout.split() == ["127.0.0.1:0"]


@pytest.mark.ray
def test_ray_knows_every_variable_that_it_is_given(tmp_path: Path) -> None:
    """It passes over a name that it does not know, and the setting with it."""
    from importlib.util import find_spec

    (ray,) = find_spec("ray").submodule_search_locations  # type: ignore[union-attr,misc]
    known = "".join(path.read_text() for path in (Path(ray) / "serve" / "_private").glob("*.py"))
    core = (Path(ray) / "core" / "src" / "ray" / "raylet" / "raylet").read_bytes()
    given = environment("127.0.0.1", tmp_path, ports=range(8), metrics=tmp_path)

    unknown = [one for one in given if one.startswith("RAY_") and f'"{one}"' not in known]

    assert [one for one in unknown if one.encode() not in core] == []


def test_no_two_parts_are_given_one_port(tmp_path: Path) -> None:
    given = environment("::1", tmp_path, ports=range(20_000, 20_104), metrics=tmp_path)

    ports = {name: int(one) for name, one in given.items() if name.endswith("_PORT")}
    assert len(ports) == len(set(ports.values())) == 8
    ends = [given[f"RAY_SERVE_DIRECT_INGRESS_{one}_PORT"] for one in ENDS]
    assert ends == ["20004", "20053", "20054", "20103"]


ENDS = ("MIN_HTTP", "MAX_HTTP", "MIN_GRPC", "MAX_GRPC")


def test_replicas_get_ports_that_nobody_listens_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from serving import server

    monkeypatch.setattr(server, "port_is_free", lambda _, port: 25_000 <= port < 25_400)
    found = {server._ports() for _ in range(20)}
    assert found <= {range(25_096, 25_200), range(25_200, 25_304)}

    monkeypatch.setattr(server, "port_is_free", lambda _, port: port % 90 != 0)
    with pytest.raises(PermanentError, match="no 104 ports in a row are free"):
        server._ports()
