"""Checks of registries and services: evidence in, result out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from nearline.doctor.result import Result, fail, ok, warn
from nearline.say import Words


def feast_registry(where: str, missing_views: Collection[str] | None) -> Result:
    """`missing_views` is None where there is no registry at all."""
    apply = Words("Run `nearline features apply`.", "运行 `nearline features apply`。")
    if missing_views is None:
        return fail(
            "feast",
            Words(f"no Feast registry at {where}", f"{where} 没有 Feast 注册表"),
            apply,
        )
    if missing_views:
        names = ", ".join(sorted(missing_views))
        return fail(
            "feast",
            Words(f"the Feast registry lacks {names}", f"Feast 注册表缺少 {names}"),
            apply,
        )
    return ok("feast", "feature views are registered", "特征视图已注册")


@dataclass(frozen=True, slots=True)
class Champion:
    """What the model registry says. `problem` tells why it cannot be read or served."""

    version: str | None = None
    problem: str | None = None


def champion(found: Champion) -> Result:
    train = Words(
        "Train, register and promote: `nearline train --promote`. docs/runbooks/no-champion.md",
        "训练、注册并上线：`nearline train --promote`。docs/runbooks/no-champion.md",
    )
    if found.problem is not None:
        named = f"bundle {found.version}: " if found.version else ""
        return fail("champion", Words(f"{named}{found.problem}", f"{named}{found.problem}"), train)
    if found.version is None:
        return fail(
            "champion",
            Words(
                "no model is champion: recommendations are popular items only",
                "没有 champion 模型：只能推荐热门商品",
            ),
            train,
        )
    return ok(
        "champion",
        f"bundle {found.version} is champion and its files verify",
        f"champion 为模型包 {found.version}，文件校验通过",
    )


def retraining(last_success_h: float | None, every_h: float | None) -> Result:
    """`last_success_h` ago a run ended with a champion that knows all; None: no run ever did.

    `every_h` is None where there was neither a schedule nor a run; runs without a schedule (of
    systemd, of cron) count as daily.
    """
    if every_h is None and last_success_h is None:
        return ok(
            "retraining",
            "nothing retrains here (each day: `nearline retrain --every 24h --at 03:00`)",
            "未启用定时训练（每天：`nearline retrain --every 24h --at 03:00`）",
        )
    limit_h = max(every_h or 24.0, 24.0) + 2.0
    if last_success_h is not None and last_success_h <= limit_h:
        return ok(
            "retraining",
            f"retrained {last_success_h:.0f} h ago",
            f"{last_success_h:.0f} 小时前已重新训练",
        )
    ago = f"{last_success_h:.0f} h ago" if last_success_h is not None else "never"
    ago_zh = f"{last_success_h:.0f} 小时前" if last_success_h is not None else "从未"
    return warn(
        "retraining",
        Words(f"the last successful retraining: {ago}", f"最近一次成功的重新训练：{ago_zh}"),
        Words(
            "See why with `nearline retrain --status`; train now with `nearline retrain`.",
            "用 `nearline retrain --status` 查看原因；立即训练：`nearline retrain`。",
        ),
    )


@dataclass(frozen=True, slots=True)
class Health:
    """What GET /healthz answered: a status and its document, or the error."""

    status: int | None = None
    document: Mapping[str, Any] | None = None
    error: str = ""


def collector(found: Health, address: str) -> Result:
    if found.status == 200:
        return ok("collector", f"collector at {address} is well", f"采集器 {address} 正常")
    return fail("collector", _down("collector", "采集器", found, address), _start("collector"))


def api(found: Health, address: str, champion_version: str | None) -> Result:
    if found.status != 200 or found.document is None:
        return fail("api", _down("recommendations", "推荐服务", found, address), _start("serve"))
    document = found.document
    if refused := document.get("bundle_refused"):
        return warn(
            "api",
            Words(
                f"the newest champion does not serve: {refused}", f"最新 champion 未上线：{refused}"
            ),
            Words(
                "The bundle before it still serves; train again with `nearline train`.",
                "之前的模型包仍在服务；请重新 `nearline train`。",
            ),
        )
    serves = str(document.get("bundle") or "")
    if champion_version is not None and serves != champion_version:
        return warn(
            "api",
            Words(
                f"serves bundle {serves or 'none'}, champion is {champion_version}",
                f"正在服务 {serves or '无'}，champion 为 {champion_version}",
            ),
            Words(
                "It follows within seconds; if not, read the log of `nearline serve`.",
                "数秒内会切换；否则查看 `nearline serve` 的日志。",
            ),
        )
    if document.get("registry") is False:
        return warn(
            "api",
            Words(
                f"recommendations at {address} answer with bundle {serves or 'none'}, but do not "
                "reach the registry: a promotion would not be followed",
                f"{address} 的推荐服务以模型包 {serves or '无'} 应答，但连不上模型注册表："
                "新的 champion 不会上线",
            ),
            Words(
                "See that MLFLOW_TRACKING_URI of `nearline serve` is right and that the registry "
                "answers there. docs/runbooks/no-champion.md",
                "检查 `nearline serve` 的 MLFLOW_TRACKING_URI 以及注册表能否访问。"
                "docs/runbooks/no-champion.md",
            ),
        )
    if document.get("policy_refused"):
        return warn(
            "api",
            Words(
                "the scene and rule files have mistakes, so those before them still hold",
                "场景或规则文件有错误，仍在使用之前的版本",
            ),
            Words(
                "`nearline scenes check` names each with its line. docs/scenes.md",
                "`nearline scenes check` 会逐行列出错误。docs/scenes.md",
            ),
        )
    if document.get("status") != "ok":
        return warn(
            "api",
            Words(
                f"recommendations at {address} answer with fallbacks "
                f"({document.get('status', 'no status')})",
                f"{address} 的推荐服务在用后备方案应答（{document.get('status', '无状态')}）",
            ),
            Words(
                "The checks above say what is missing. docs/runbooks/stale-features.md",
                "上面的检查会指出缺少什么。docs/runbooks/stale-features.md",
            ),
        )
    return ok(
        "api",
        f"recommendations at {address} answer with bundle {serves or 'none'}",
        f"推荐服务 {address} 正常，模型包 {serves or '无'}",
    )


def _down(en: str, zh: str, found: Health, address: str) -> Words:
    why = found.error or f"HTTP {found.status}"
    return Words(f"{en} at {address}: {why}", f"{zh} {address}：{why}")


def _start(command: str) -> Words:
    return Words(
        f"Start it: `nearline {command}`, or everything with `nearline up`; its log is in the "
        "home folder's logs/.",
        f"启动：`nearline {command}`，或用 `nearline up` 启动全部；日志在主目录的 logs/ 下。",
    )
