"""Who works on a partition: a lease in Redis that lives for seconds and is renewed.

A lease only saves double work; exactness does not rest on it (docs/decisions/0003). So a
worker that was killed need not be waited for: where its process can be seen to be dead, on
the same machine, its lease is taken over at once.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from nearline import keys

# KEYS[1] lease. ARGV: own token, lifetime in ms, a dead holder's token or ''.
# Takes a free lease, renews one's own, replaces the dead one's. Replies the holder's token, and
# 1 where it was the holder's before (0: it had lapsed, and others may have worked meanwhile).
_TAKE_SCRIPT = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] and held ~= ARGV[3] then return {held, 1} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {ARGV[1], held == ARGV[1] and 1 or 0}
"""
_RELEASE_SCRIPT = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds leases. `place` tells machines, boots and containers apart."""

    role: str
    host: str
    place: str
    pid: int
    born: str  # When the process started, in the kernel's ticks; ids are used again.
    nonce: str

    def __str__(self) -> str:
        return "|".join((self.role, self.host, self.place, str(self.pid), self.born, self.nonce))

    @classmethod
    def parse(cls, token: str) -> Holder | None:
        """The holder that a token names; None when it is in no form that we write."""
        parts = token.split("|")
        if len(parts) != 6 or not parts[3].isdigit():
            return None
        return cls(parts[0], parts[1], parts[2], int(parts[3]), parts[4], parts[5])

    @property
    def is_dead(self) -> bool:
        """Whether the process is known to have ended; False also where that cannot be seen."""
        here = _place()
        return here != "" and self.place == here and _birth_of(self.pid) != self.born


def this_process(role: str) -> Holder:
    """This process as a holder of leases, different at each call."""
    host = socket.gethostname().replace("|", "_")
    pid = os.getpid()
    return Holder(role, host, _place(), pid, _birth_of(pid), secrets.token_hex(4))


class Leases:
    """The leases of one job that a process holds or waits for, over some partitions."""

    def __init__(
        self,
        client: redis.Redis,
        job: str,
        partitions: Iterable[int],
        *,
        holder: Holder,
        ttl_s: float = 6.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.holder, self.ttl_s = holder, ttl_s
        self.held: frozenset[int] = frozenset()
        self.others: dict[int, Holder | None] = {}
        self._job, self._partitions = job, tuple(partitions)
        self._take = client.register_script(_TAKE_SCRIPT)
        self._drop = client.register_script(_RELEASE_SCRIPT)
        self._monotonic, self._due = monotonic, 0.0

    def tend(self, *, now: bool = False) -> frozenset[int]:
        """Renew what is held, try to take the rest, when due; return what is held.

        Due is each third of the lifetime, and each 100 ms while partitions are missing. A lease
        that lapsed and was free to take again is not among those returned, once: the caller
        must forget what it believed of that partition.
        """
        if not now and self._monotonic() < self._due:
            return self.held
        others: dict[int, Holder | None] = {}
        lapsed: set[int] = set()
        for partition in self._partitions:
            token, kept = self._taken(partition)
            if token != str(self.holder):
                others[partition] = Holder.parse(token)
            elif partition in self.held and not kept:
                lapsed.add(partition)
        self.others = others
        self.held = frozenset(self._partitions) - others.keys() - lapsed
        pause_s = 0.0 if lapsed else 0.1 if others else self.ttl_s / 3
        self._due = self._monotonic() + pause_s
        return self.held

    def release(self) -> None:
        """Give back what is held, so that the next one need not wait."""
        for partition in self.held:
            self._drop(keys=[keys.lease(partition, self._job)], args=[str(self.holder)])
        self.held = frozenset()
        self._due = 0.0

    def _taken(self, partition: int) -> tuple[str, bool]:
        token, kept = self._try(partition, "")
        other = Holder.parse(token)
        if token != str(self.holder) and other and other.is_dead:
            token, kept = self._try(partition, token)
        return token, kept

    def _try(self, partition: int, dead: str) -> tuple[str, bool]:
        reply: Any = self._take(
            keys=[keys.lease(partition, self._job)],
            args=[str(self.holder), int(self.ttl_s * 1_000), dead],
        )
        return reply[0].decode(), bool(reply[1])


def _place() -> str:
    """Boot and process namespace of this machine; '' where the kernel does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _birth_of(pid: int) -> str:
    """When the process with this id started, in ticks; '' when none lives."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *rest = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]
