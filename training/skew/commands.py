"""`nearline skew`: is what rankers see what training computes?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nearline.say import say

if TYPE_CHECKING:
    from nearline.settings import Settings
    from training.skew.compare import Skew


@click.command(
    help=say(
        "Compare the feature vectors that rankers saw with what training computes for the same "
        "customers and instants, bit for bit. Ends with exit code 1 when any differs.\n\n"
        "Serving keeps the vectors of a share of its answers (NEARLINE_SERVED_SAMPLE). This "
        "archives them, brings the offline features up to date, and computes each row again, point "
        "in time, through Feast. A row that differs only by events that were still under way "
        "counts as delayed; which events the store had applied is in the record. What differs "
        "otherwise is named by feature, with the first example, and by side: 'serving' was wrong, "
        "or the 'offline' rows are. Scores and ranks of sources depend on a bundle's models; they "
        "are not compared.\n\n"
        "A history that was imported after the answers differs rightly: training would see what "
        "serving did not have. Run `nearline backfill` after an import.\n\n"
        "Example:\n\n  NEARLINE_SERVED_SAMPLE=1 nearline serve\n\n  nearline skew --hours 24",
        "逐位比较排序模型实际看到的特征向量与训练为同一客户、同一时刻计算的特征；"
        "有不一致时退出码为 1。\n\n"
        "服务按比例保存向量（NEARLINE_SERVED_SAMPLE）。本命令将其归档、更新离线特征，并经 Feast "
        "按时间点重算每一行。仅因事件尚在处理而不同的计为延迟；其余按特征列出，"
        "并指出是 serving 还是 offline 有误。召回来源的得分与名次取决于模型，不参与比较。\n\n"
        "回答之后才导入的历史会造成真实的不一致：导入后请运行 `nearline backfill`。\n\n"
        "示例：\n\n  NEARLINE_SERVED_SAMPLE=1 nearline serve\n\n  nearline skew --hours 24",
    )
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    default=24.0,
    show_default=True,
    help=say("How far back to compare.", "向前比较多少小时。"),
)
def skew(hours: float) -> None:
    from rich.console import Console

    from nearline.clock import SystemClock
    from nearline.embedded.running import settings_of_what_runs

    log = Console(stderr=True)
    log.print(say("loading Feast ...", "正在加载 Feast ……"))
    from training.skew.report import to_text

    found = compared(settings_of_what_runs(), SystemClock().now_us(), hours)
    click.echo(to_text(found))
    if not found.holds:
        raise SystemExit(1)


def compared(settings: Settings, now_us: int, hours: float) -> Skew:
    """Archive what waits, bring offline rows up to date, and compare the last hours.

    Raises StoreUnavailable when Redis does not answer.
    """
    import redis

    from nearline.connecting import connected
    from nearline.errors import StoreUnavailable
    from nearline.served_files import archive, read
    from nearline.transforms.buckets import HOUR_US
    from training.skew.compare import compare
    from training.skew.coverage import covered_until_us
    from training.states import FeastStates

    client = connected(settings)
    try:
        archive(client, settings.served)
        covered_us = covered_until_us(client, settings.history, settings.partitions, now_us)
    except redis.RedisError as error:
        raise StoreUnavailable("Redis", settings.redis_shown, type(error).__name__) from error
    finally:
        client.close()
    states = FeastStates.open(settings, lambda _events: None)
    records = read(settings.served, now_us - int(hours * HOUR_US), now_us)
    return compare(records, states, settings.history, covered_us)
