"""The published comparisons that can be run again, by name; imported only when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from nearline.say import say
from training.reproduce.comparison import Reproduction


@dataclass(frozen=True, slots=True)
class Known:
    """Where a reproduction stands (a module with `run(place, watch)`), and what it compares."""

    module: str
    folders: tuple[str, ...]  # of the public data, relative to its root
    what: str

    def load(self) -> Reproduction:
        """Import it with all that it needs, such as torch."""
        found: Reproduction = import_module(self.module).run
        return found


def catalogue() -> dict[str, Known]:
    """Every reproduction by the name that `nearline reproduce` takes."""
    return {
        "movielens_1m": _known(
            "movielens_1m",
            ("movielens_1m",),
            say("next film, leave-one-out", "下一部电影，留一法"),
        ),
        "movielens_100k": _known(
            "movielens_100k",
            ("movielens_100k",),
            say("next film, split at one instant", "下一部电影，按时间切分"),
        ),
        "beauty": _known(
            "beauty",
            ("amazon_beauty_5core",),
            say("next review, sparse data", "下一条评论，稀疏数据"),
        ),
        "retailrocket_sessions": _known(
            "retailrocket_sessions",
            ("retailrocket_sessions",),
            say("next click of anonymous sessions", "匿名会话的下一次点击"),
        ),
        "retailrocket": _known(
            "retailrocket",
            ("retailrocket_behaviour",),
            say("next purchase, ranker over several sources", "下一次购买，多路召回加排序"),
        ),
        "telco": _known(
            "telco",
            ("telco_churn",),
            say("churn of contracts", "合约客户流失"),
        ),
        "cdnow": _known(
            "cdnow",
            ("cdnow",),
            say("churn without contracts, lifetime value", "非合约流失与客户终身价值"),
        ),
        "groceries": _known(
            "groceries",
            ("oracles",),
            say("association rules of baskets", "购物篮关联规则"),
        ),
    }


def _known(name: str, folders: tuple[str, ...], what: str) -> Known:
    return Known(f"training.reproduce.{name}", folders, what)
