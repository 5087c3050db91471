"""What each line of a policy allows and the whole does not: mistakes of meaning. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from difflib import get_close_matches
from typing import TypeVar

from nearline.say import Words
from nearline.transforms.tags import CODES, FAN_OF
from serving.policy.model import MAX_CANDIDATES, RANKER, Campaign, FrequencyCap, Scene

T = TypeVar("T")
Fault = tuple[str, Words]
"""The path where it is to be mended, and what is wrong."""


def scene_faults(path: str, scene: Scene) -> Iterator[Fault]:
    """What cannot be meant by a scene."""
    named = {*scene.sources, *scene.fallback}
    for voter in scene.weights:
        if voter != RANKER and voter not in named:
            yield (
                f"{path}.weights.{voter}",
                Words(
                    f"{path}.weights weighs {voter}, which {path}.sources does not name: add it "
                    "there with a number of items, or take the weight out",
                    f"{path}.weights 中的 {voter} 未在 {path}.sources 中列出："
                    "请在那里加上并写明数量，或删去该权重",
                ),
            )
    total = sum(scene.sources.values())
    if total > MAX_CANDIDATES:
        yield (
            f"{path}.sources",
            Words(
                f"{path}.sources may name {total} items together; at most {MAX_CANDIDATES} are "
                "ranked in time: lower some numbers",
                f"{path}.sources 合计 {total} 件，最多 {MAX_CANDIDATES} 件：请调低数量",
            ),
        )
    if scene.length.default > scene.length.most:
        yield (
            f"{path}.length.default",
            Words(
                f"{path}.length.default is {scene.length.default}, more than most, "
                f"{scene.length.most}: raise most or lower default",
                f"{path}.length.default 为 {scene.length.default}，超过 most 的 "
                f"{scene.length.most}：请调高 most 或调低 default",
            ),
        )
    if scene.explore.places > scene.length.most:
        yield (
            f"{path}.explore.places",
            Words(
                f"{path}.explore.places is {scene.explore.places}, but a list has at most "
                f"{scene.length.most} (length.most): lower it",
                f"{path}.explore.places 为 {scene.explore.places}，但列表最多 "
                f"{scene.length.most} 项（length.most）：请调低",
            ),
        )
    yield from _twice(
        scene.fallback,
        lambda one: one,
        f"{path}.fallback",
        lambda one: Words(f"{one} stands here twice", f"{one} 重复出现"),
    )


def cap_faults(path: str, caps: Iterable[FrequencyCap]) -> Iterator[Fault]:
    """Two caps that cannot both be meant."""
    yield from _twice(
        caps,
        lambda cap: (cap.channel, cap.window_hours),
        path,
        lambda cap: Words(
            f"a second cap of {cap.channel} for {cap.window_hours:g} hours: keep the one you mean",
            f"渠道 {cap.channel} 在 {cap.window_hours:g} 小时内有两个上限：请只保留一个",
        ),
    )


def campaign_faults(path: str, campaign: Campaign, scenes: Collection[str]) -> Iterator[Fault]:
    """What cannot be meant by a campaign; `scenes` are all names that there are."""
    if campaign.starts >= campaign.ends:
        yield (
            f"{path}.to",
            Words(
                f"{path} would end at {campaign.ends:%Y-%m-%d %H:%M} UTC, not after its beginning "
                f"at {campaign.starts:%Y-%m-%d %H:%M} UTC: set a later `to`",
                f"{path} 的结束时刻 {campaign.ends:%Y-%m-%d %H:%M} UTC 不晚于开始时刻 "
                f"{campaign.starts:%Y-%m-%d %H:%M} UTC：请把 `to` 改晚",
            ),
        )
    if not campaign.pins and not campaign.boosts:
        yield (
            path,
            Words(
                f"{path} has neither pins nor boosts, so it does nothing: add some",
                f"{path} 既无 pins 也无 boosts，不起作用：请补充",
            ),
        )
    for name in sorted(campaign.scenes.difference(scenes)):
        yield f"{path}.scenes", _no_such(f"{path}.scenes", name, scenes, "scene", "场景")
    yield from _twice(
        campaign.pins,
        lambda pin: pin.place,
        f"{path}.pins",
        lambda pin: Words(
            f"{pin.item_id} is pinned to place {pin.place}, which another pin of this campaign "
            "holds: choose another place",
            f"{pin.item_id} 置顶到第 {pin.place} 位，但该位置已被本活动占用：请换一个位置",
        ),
    )
    yield from _twice(
        campaign.pins,
        lambda pin: pin.item_id,
        f"{path}.pins",
        lambda pin: Words(
            f"{pin.item_id} is pinned twice: an item stands at one place only",
            f"{pin.item_id} 被置顶两次：一件商品只能占一个位置",
        ),
    )
    for at, boost in enumerate(campaign.boosts):
        if bool(boost.item_id) == bool(boost.category):
            yield (
                f"{path}.boosts[{at}]",
                Words(
                    f"{path}.boosts[{at}] must name either item_id or category",
                    f"{path}.boosts[{at}] 必须在 item_id 与 category 中选其一",
                ),
            )
    for tag in sorted(campaign.audience.tags if campaign.audience else ()):
        if tag not in CODES and not (tag.startswith(FAN_OF) and len(tag) > len(FAN_OF)):
            known = (*CODES, f"{FAN_OF}CATEGORY")
            yield f"{path}.audience.tags", _no_such(f"{path}.audience", tag, known, "tag", "标签")


def policy_faults(scenes: Collection[str]) -> Iterator[Fault]:
    """What a whole policy must have."""
    if "home" not in scenes:
        yield (
            "scenes",
            Words(
                "scenes has no home, which answers questions that name no scene: add it "
                "(`nearline scenes show home --shipped` prints one)",
                "scenes 中没有 home，而未指明场景的请求由它回答：请加上"
                "（`nearline scenes show home --shipped` 可显示内置的 home）",
            ),
        )


def _no_such(path: str, name: str, known: Iterable[str], en: str, zh: str) -> Words:
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    return Words(
        f"{path} names {name!r}, and there is no such {en}"
        + (f": did you mean {near[0]}?" if near else f": expected one of {', '.join(names)}"),
        f"{path} 中的 {name!r} 不是已知的{zh}"
        + (f"：是否想写 {near[0]}？" if near else f"：可用 {'、'.join(names)}"),
    )


def _twice(
    values: Iterable[T], key: Callable[[T], Hashable], path: str, told: Callable[[T], Words]
) -> Iterator[Fault]:
    met: set[Hashable] = set()
    for at, value in enumerate(values):
        if key(value) in met:
            words = told(value)
            yield f"{path}[{at}]", Words(f"{path}[{at}]: {words.en}", f"{path}[{at}]：{words.zh}")
        met.add(key(value))
