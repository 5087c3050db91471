"""Checks of the event log and the online store: evidence in, result out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nearline.contracts.verdict import Outcome
from nearline.doctor.result import Result, fail, ok, warn
from nearline.say import Words

OLDEST_REDIS = (7, 0)
_LAG_WARN_S, _LAG_FAIL_S = 1.0, 10.0
_HISTORY_FAIL_S = 600.0
_CONSENT_WARN_SHARE = 0.5
_REJECTED_WARN_SHARE = 0.01
_SKEW_WARN_S, _SKEW_FAIL_S = 1.0, 5.0


def reachable(address: str, error: str | None) -> Result:
    """`error` is None where the server answered; the address must hold no password."""
    if error is None:
        return ok("redis", f"Redis at {address} answers", f"{address} 的 Redis 正常应答")
    return fail(
        "redis",
        Words(
            f"Redis at {address} does not answer ({error})", f"{address} 的 Redis 无应答（{error}）"
        ),
        Words(
            "Start the embedded system with `nearline up` (or see it work: `nearline demo`), or "
            "set NEARLINE_REDIS_URL to your server.",
            "用 `nearline up` 启动内嵌系统（或先看 `nearline demo`），"
            "或把 NEARLINE_REDIS_URL 指向你的服务器。",
        ),
    )


def version(text: str) -> Result:
    """`text` is INFO's redis_version, to which Valkey keeps for its compatibility."""
    numbers = tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
    if numbers >= OLDEST_REDIS:
        return ok("redis_version", f"Redis {text} or its equal", f"兼容 Redis {text}")
    return fail(
        "redis_version",
        Words(f"Redis {text}; 7.0 or newer is needed", f"Redis {text}，需要 7.0 以上"),
        Words(
            "Upgrade it, or leave NEARLINE_REDIS_URL out to use the embedded Valkey.",
            "升级，或不设置 NEARLINE_REDIS_URL 以使用内嵌 Valkey。",
        ),
    )


def durability(config: Mapping[str, str] | None) -> Result:
    """Whether acknowledged means on disk. None: the server does not show its configuration."""
    if config is None:
        return warn(
            "durability",
            Words("the server hides its configuration (CONFIG GET)", "服务器不允许 CONFIG GET"),
            Words(
                "Make sure of `appendonly yes` and `appendfsync always` with who runs it.",
                "请向其管理员确认 `appendonly yes` 与 `appendfsync always`。",
            ),
        )
    wanted = {"appendonly": "yes", "appendfsync": "always"}
    odd = [f"{name} {config.get(name, '?')}" for name in wanted if config.get(name) != wanted[name]]
    if not odd:
        return ok(
            "durability", "acknowledged events are on disk (fsync)", "确认的事件均已落盘（fsync）"
        )
    told = ", ".join(odd)
    return fail(
        "durability",
        Words(f"acknowledged events can be lost: {told}", f"已确认的事件可能丢失：{told}"),
        Words(
            "CONFIG SET appendonly yes; CONFIG SET appendfsync always; and the same in its "
            "configuration file. everysec loses about 0.6 s at a power cut.",
            "执行 CONFIG SET appendonly yes；CONFIG SET appendfsync always，并写入配置文件。"
            "everysec 断电时约丢 0.6 秒。",
        ),
    )


def eviction(policy: str | None) -> Result:
    """Whether the server may throw features and events away when memory runs out."""
    if policy == "noeviction":
        return ok("eviction", "nothing is evicted", "不会淘汰数据")
    if policy is None:
        return warn(
            "eviction",
            Words("the server hides its maxmemory-policy", "服务器隐藏了 maxmemory-policy"),
            Words("It must be noeviction: ask who runs it.", "必须为 noeviction：请询问管理员。"),
        )
    return fail(
        "eviction",
        Words(
            f"maxmemory-policy is {policy}: events and features may vanish",
            f"maxmemory-policy 为 {policy}：事件和特征可能被淘汰",
        ),
        Words(
            "CONFIG SET maxmemory-policy noeviction", "执行 CONFIG SET maxmemory-policy noeviction"
        ),
    )


def partitions(held: int | None, asked: int) -> Result:
    """`held` is what the log was made with, None before its first start."""
    if held is None:
        return ok(
            "partitions",
            f"the log is new; it will have {asked} partitions",
            f"日志尚未使用，将有 {asked} 个分区",
        )
    if held == asked:
        return ok("partitions", f"{held} partitions", f"{held} 个分区")
    return fail(
        "partitions",
        Words(
            f"the log has {held} partitions, NEARLINE_PARTITIONS asks for {asked}",
            f"日志有 {held} 个分区，而 NEARLINE_PARTITIONS 要求 {asked} 个",
        ),
        Words(f"Set NEARLINE_PARTITIONS={held}.", f"设置 NEARLINE_PARTITIONS={held}。"),
    )


@dataclass(frozen=True, slots=True)
class Behind:
    """How far one partition's reader is behind. `waiting_s` is the age of its next event."""

    partition: int
    waiting_s: float | None  # None when nothing waits
    holder: bool  # whether a process holds the lease

    def __str__(self) -> str:
        age = "0" if self.waiting_s is None else f"{self.waiting_s:.1f} s"
        return f"{self.partition}: {age}"


def worker_lag(found: Sequence[Behind]) -> Result:
    late = [one for one in found if (one.waiting_s or 0.0) > _LAG_WARN_S]
    alone = [one for one in found if not one.holder]
    if not late and not alone:
        return ok(
            "worker_lag",
            f"features follow the log on all {len(found)} partitions",
            f"全部 {len(found)} 个分区的特征均已跟上日志",
        )
    if late:
        told = ", ".join(map(str, late))
        what = Words(
            f"features are behind the log, oldest waiting event by partition: {told}",
            f"特征落后于日志，各分区最早未处理事件：{told}",
        )
    else:
        numbers = ", ".join(str(one.partition) for one in alone)
        what = Words(
            f"no stream worker holds partitions {numbers}", f"没有流处理进程负责分区 {numbers}"
        )
    todo = (
        Words("Start `nearline worker`.", "启动 `nearline worker`。")
        if alone
        else Words(
            "The worker runs and cannot keep up: docs/runbooks/worker-lag.md",
            "流处理在运行但跟不上：docs/runbooks/worker-lag.md",
        )
    )
    worst = max(one.waiting_s or 0.0 for one in found)
    return (fail if worst > _LAG_FAIL_S else warn)("worker_lag", what, todo)


def history_lag(found: Sequence[Behind], flush_s: float) -> Result:
    """`flush_s` is how long an event may wait for its file."""
    allowed_s = 2 * flush_s + 5.0
    late = [one for one in found if (one.waiting_s or 0.0) > allowed_s]
    if not late:
        return ok("history_lag", "history follows the log", "历史已跟上日志")
    told = ", ".join(map(str, late))
    worst = max(one.waiting_s or 0.0 for one in late)
    return (fail if worst > max(_HISTORY_FAIL_S, allowed_s) else warn)(
        "history_lag",
        Words(
            f"history is behind the log, oldest waiting event by partition: {told}",
            f"历史落后于日志，各分区最早未归档事件：{told}",
        ),
        Words(
            "Start `nearline history`, or read its log. The log keeps the events until then.",
            "启动 `nearline history` 或查看其日志。在此之前事件仍保留在日志中。",
        ),
    )


def dead_letters(waiting: int, received: int) -> Result:
    if not waiting:
        return ok("dead_letters", "no rejected events wait", "没有待处理的死信")
    what = Words(
        f"{waiting:,} rejected events wait ({waiting / max(1, received):.1%} of all received)",
        f"{waiting:,} 个被拒绝的事件待处理（占全部 {waiting / max(1, received):.1%}）",
    )
    if waiting / max(1, received) < _REJECTED_WARN_SHARE:
        return ok("dead_letters", what.en, what.zh)
    return warn(
        "dead_letters",
        what,
        Words(
            "`nearline dead-letters show` says why; mend the sender, then "
            "`nearline dead-letters replay`. docs/runbooks/dead-letters.md",
            "`nearline dead-letters show` 查看原因；修复发送方后 `nearline dead-letters replay`。"
            "docs/runbooks/dead-letters.md",
        ),
    )


def consent(counts: Mapping[str, int]) -> Result:
    """Whether consent is so often missing that the sender may be at fault."""
    received = counts.get("received", 0)
    share = counts.get(Outcome.CONSENT_REFUSED.value, 0) / max(1, received)
    if share <= _CONSENT_WARN_SHARE:
        return ok(
            "consent",
            f"{share:.1%} of {received:,} events had no consent and were not kept",
            f"{received:,} 个事件中 {share:.1%} 未获同意，未保留",
        )
    return warn(
        "consent",
        Words(
            f"{share:.0%} of {received:,} events had no consent and were not kept",
            f"{received:,} 个事件中 {share:.0%} 未获同意，未保留",
        ),
        Words(
            "If customers did agree, the sender forgets context.consent.categoryPreferences.",
            "若顾客其实已同意，则发送方遗漏了 context.consent.categoryPreferences。",
        ),
    )


def clock(server_ahead_s: float) -> Result:
    """Whether this machine and the log's agree on the time."""
    skew_s = abs(server_ahead_s)
    what = Words(
        f"clocks of this machine and of Redis differ by {skew_s:.2f} s",
        f"本机与 Redis 的时钟相差 {skew_s:.2f} 秒",
    )
    if skew_s <= _SKEW_WARN_S:
        return ok("clock", what.en, what.zh)
    todo = Words(
        "Synchronise both (NTP): ages and lags are wrong by as much.",
        "同步两台机器的时间（NTP）：否则时效与延迟都会偏差同样多。",
    )
    return (fail if skew_s > _SKEW_FAIL_S else warn)("clock", what, todo)
