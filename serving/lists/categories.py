"""Categories that a list was asked for and that nobody has met: most often, misspelt. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

from nearline.say import Words

_NEAR, _MOST_NAMED = 3, 10


def unmet(
    wanted: Sequence[str], met: Collection[str], shares: Mapping[str, float]
) -> tuple[Words, ...]:
    """A sentence for each wanted category that is not among those `met`, with what there is.

    `shares` are the bundle's, of everybody's purchases: what stands there is no mistake, and the
    most bought are named where nothing is spelt alike.
    """
    known = sorted(set(met) | shares.keys())
    most_bought = sorted(known, key=lambda name: (-shares.get(name, 0.0), name))[:_MOST_NAMED]
    told: list[Words] = []
    for name in dict.fromkeys(wanted):
        if name in met:
            continue
        hint = Words("", "")
        if name not in shares:
            near = get_close_matches(name, known, n=_NEAR, cutoff=0.6)
            hint = _hint(near, most_bought)
        told.append(
            Words(
                f"Nobody who may be written to has met the category {name!r} lately.{hint.en}",
                f"可联系的顾客近期都没有接触过品类 {name!r}。{hint.zh}",
            )
        )
    return tuple(told)


def _hint(near: Sequence[str], most_bought: Sequence[str]) -> Words:
    if near:
        return Words(f" Did you mean {' or '.join(near)}?", f"是否想写 {' 或 '.join(near)}？")
    if not most_bought:
        return Words(
            " No event names any category (`item_category`).",
            "没有任何事件带有品类（`item_category`）。",
        )
    return Words(
        f" There are {', '.join(most_bought)}, the most bought first; without --category, the "
        "list shows each customer's likeliest.",
        f"现有（按购买量）：{'、'.join(most_bought)}；不写 --category 时列出各人最可能的品类。",
    )
