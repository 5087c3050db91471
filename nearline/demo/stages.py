"""What must exist before the story: stages that are done once and reused afterwards.

A stage is one `nearline` command. When it has succeeded, a marker with its fingerprint is
written; the fingerprint covers its command, the code's version and the stages before it, so a
change anywhere redoes what follows. Commands are safe to repeat, so a half-finished run is
simply continued.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from nearline import __version__, keys
from nearline.embedded.valkey import dying_with_us
from nearline.errors import TransientError
from nearline.say import say

FRESH_DAYS = 3.0  # An older made-up history is made again, or everybody would seem to have left.
_STOP_LIMIT_S = 15.0
_ONLINE_MARK = "demo_online"


@dataclass(frozen=True, slots=True)
class Stage:
    """One command, with what a person reads while it runs."""

    name: str
    title: str
    command: tuple[str, ...]
    fills_online_store: bool = False


def shop_stages() -> list[Stage]:
    """The story on the simulated shop, which is the product's own default data."""
    generate = Stage(
        "history",
        say("a simulated shop's 60 days of events", "模拟商店 60 天的行为数据"),
        ("shop", "generate", "--seed", "7"),
    )
    return [generate, *_after_history("demo_shop")]


def events_stages(events: Path, mapping: str) -> list[Stage]:
    """The story on a recorded log, moved in time so that its last event has just happened."""
    load = Stage(
        "history",
        say(f"importing {events.name}", f"导入 {events.name}"),
        ("import", str(events), "--mapping", mapping, "--shift-newest-to", "now"),
    )
    return [load, *_after_history("events")]


def _after_history(recipe: str) -> list[Stage]:
    return [
        Stage(
            "online",
            say("folding history into online features (Redis)", "汇总历史到在线特征（Redis）"),
            ("backfill",),
            fills_online_store=True,
        ),
        Stage("registry", say("feast apply", "注册 Feast 特征"), ("features", "apply")),
        Stage(
            "offline",
            say("offline feature rows, point in time (Parquet)", "离线特征（按时间点）"),
            ("features", "snapshot"),
        ),
        Stage(
            "models",
            say(
                "training encoder, ranker, churn; registering and promoting the bundle (MLflow)",
                "训练序列模型、排序、流失模型，注册并上线（MLflow）",
            ),
            ("train", "--recipe", recipe, "--promote"),
        ),
    ]


class Preparation:
    """Runs the stages of one home folder that are not done yet."""

    def __init__(self, home: Path, redis_url: str, environ: Mapping[str, str]) -> None:
        self._folder = home / "stages"
        self._home = home
        self._redis_url = redis_url
        self._environ = environ

    def missing(self, stages: Sequence[Stage]) -> list[tuple[Stage, str]]:
        """The stages to run, each with its fingerprint: from the first that is not done, all."""
        fingerprint = __version__
        todo: list[tuple[Stage, str]] = []
        for stage in stages:
            text = json.dumps([fingerprint, stage.name, stage.command])
            fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]
            if todo or not self._is_done(stage, fingerprint):
                todo.append((stage, fingerprint))
        return todo

    def run(self, stage: Stage, fingerprint: str) -> float:
        """Run one stage in the foreground; returns its seconds, raises when it fails."""
        self._folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - our own command, no shell
            dying_with_us([sys.executable, "-m", "nearline", *stage.command]),
            env=dict(self._environ),
            stdout=sys.stderr,  # The story alone speaks on stdout.
        )
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            try:
                process.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise
        if code != 0:
            raise TransientError(
                f"`nearline {' '.join(stage.command)}` failed (exit {code}); what it said stands "
                "above. What was finished before is kept: run the same command again, or remove "
                f"{self._home} to start clean."
            )
        if stage.fills_online_store:
            client = redis.Redis.from_url(self._redis_url)
            client.hset(keys.META, _ONLINE_MARK, fingerprint)
            client.close()
        (self._folder / f"{stage.name}.json").write_text(json.dumps({"fingerprint": fingerprint}))
        return time.monotonic() - started

    def _is_done(self, stage: Stage, fingerprint: str) -> bool:
        try:
            held = json.loads((self._folder / f"{stage.name}.json").read_text())
        except (OSError, ValueError):
            return False
        if held.get("fingerprint") != fingerprint:
            return False
        if not stage.fills_online_store:
            return True
        # The features live in Redis: a marker on disk says nothing if that was emptied.
        client = redis.Redis.from_url(self._redis_url)
        mark = client.hget(keys.META, _ONLINE_MARK)
        client.close()
        return isinstance(mark, bytes) and mark.decode() == fingerprint


def forget_if_stale(home: Path, now_s: float) -> bool:
    """Remove a demo home whose history was made more than three days ago; says whether it did."""
    marker = home / "stages" / "history.json"
    if not marker.is_file() or now_s - marker.stat().st_mtime < FRESH_DAYS * 86_400:
        return False
    shutil.rmtree(home)
    return True
