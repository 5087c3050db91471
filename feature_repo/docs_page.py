"""The page of features, written from the catalogue so that it cannot fall behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW
from nearline.transforms import catalogue

PATH = "docs/features.md"
_HEAD = """\
# Features

Written by `nearline features docs` from `nearline/transforms/catalogue.py`; do not edit.

Each entity's *state* is stored (what adds), and its features are finished from the state at
the instant of reading, by one function online and offline: `nearline.transforms`. A window of
n buckets covers between n-1 and n of them, and an idle customer's window falls to zero by
itself. All features are float64; NaN marks what does not exist. Money is in hundredths of a
currency unit.

| you want | do this |
|---|---|
| a customer's features now, in a terminal | `nearline features get --customer ID` |
| features as of past instants, for training | `feature_repo.retrieval.historical(store, rows, service)` |
| the states behind them | `feature_repo.retrieval.customer_states(store, rows)`, `item_states` |
| the Feast SDK | `get_online_features(..., full_feature_names=True)`: some features share a stored column's name |
| the registry in a browser | `nearline features ui` |

Online, the stored views are written by the stream worker alone (`nearline.online`, Feast's own
Redis layout). Nothing may push or materialise them through Feast: its writer drops rows by
timestamp and would race with the worker. Offline, `nearline features snapshot` computes them
from history.
"""  # noqa: E501 - a Markdown table


def render() -> str:
    """The whole page."""
    parts = [
        _HEAD,
        _features("customer_profile_v1", "customer_features", catalogue.CUSTOMER),
        _features("item_profile_v1", "item_features", catalogue.ITEM),
        _columns(CUSTOMER_VIEW.view, CUSTOMER_VIEW.join_key, catalogue.CUSTOMER_COLUMNS),
        _columns(ITEM_VIEW.view, ITEM_VIEW.join_key, catalogue.ITEM_COLUMNS),
    ]
    return "\n".join(parts)


def _features(service: str, view: str, features: Sequence[catalogue.Feature]) -> str:
    rows = [
        f"| `{feature.name}` | {feature.unit} | {feature.window} | {feature.en} | {feature.zh} |"
        for feature in features
    ]
    head = f"## Service `{service}`\n\nView `{view}`; the request gives `as_of_us`.\n\n"
    table = "| feature | unit | window | meaning | 含义 |\n|---|---|---|---|---|\n"
    return head + table + "\n".join(rows) + "\n"


def _columns(view: str, join_key: str, columns: Mapping[str, str]) -> str:
    rows = [f"| `{name}` | {meaning} |" for name, meaning in columns.items()]
    head = f"## Stored view `{view}`\n\nJoin key `{join_key}`.\n\n"
    return head + "| column | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"
