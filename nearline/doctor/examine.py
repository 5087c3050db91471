"""The round: every check in order, each on the ground of those before it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import redis

from nearline.doctor import (
    machine_checks,
    probe_machine,
    probe_services,
    service_checks,
    store_checks,
)
from nearline.doctor.probe_store import Store
from nearline.doctor.result import Result, not_checked
from nearline.embedded.stack import host_fault
from nearline.say import Words
from nearline.settings import Settings


def examine(settings: Settings) -> Iterator[Result]:
    """Yield one result after another; never raises for what is wrong with the system."""
    yield from _machine(settings)
    yield from _store(settings)
    yield from _services(settings)


def _machine(settings: Settings) -> Iterator[Result]:
    yield machine_checks.python_version(sys.version_info[:3])
    if (wanted := probe_machine.pinned()) is not None:
        found = probe_machine.installed(list(wanted))
        yield machine_checks.packages(wanted, found, probe_machine.own_packages())
    yield machine_checks.disk(probe_machine.free_gb(settings.home), str(settings.home))
    if fault := host_fault(settings):
        host = f"NEARLINE_HOST={settings.host!r}"
        because = Words(f"{host} cannot be listened on ({fault})", f"{host} 无法监听（{fault}）")
        yield not_checked("ports", because)
    else:
        yield machine_checks.ports(probe_machine.ports(settings))


def _store(settings: Settings) -> Iterator[Result]:
    store = Store(settings.redis_address)
    try:
        error = store.error()
        yield store_checks.reachable(store.address, error)
        if error is None:
            try:
                yield from _store_state(store, settings)
            except redis.RedisError as lost:
                error = type(lost).__name__
        if error is not None:
            because = Words(f"Redis does not answer ({error})", f"Redis 无应答（{error}）")
            yield not_checked("event_log", because)
    finally:
        store.close()


def _store_state(store: Store, settings: Settings) -> Iterator[Result]:
    yield store_checks.version(store.version())
    config = store.config()
    yield store_checks.durability(config)
    yield store_checks.eviction(None if config is None else config.get("maxmemory-policy"))
    yield store_checks.clock(store.ahead_s())
    held = store.partitions()
    yield store_checks.partitions(held, settings.partitions)
    partitions = held or settings.partitions
    yield store_checks.worker_lag(store.behind(partitions, "worker"))
    yield store_checks.history_lag(store.behind(partitions, "history"), settings.history_flush_s)
    counts = store.counts(partitions)
    yield store_checks.dead_letters(store.dead_letters(partitions), counts.get("received", 0))
    yield store_checks.consent(counts)


def _services(settings: Settings) -> Iterator[Result]:
    yield service_checks.feast_registry(
        str(settings.registry), probe_services.missing_views(settings.registry)
    )
    champion = probe_services.champion(settings.mlflow_uri)
    yield service_checks.champion(champion)
    yield service_checks.retraining(*probe_services.retraining_hours(settings.home))
    address = f"http://{settings.host_shown}:{settings.collector_http_port}"
    yield service_checks.collector(probe_services.health(address), address)
    address = f"http://{settings.host_shown}:{settings.api_http_port}"
    yield service_checks.api(probe_services.health(address), address, champion.version)
