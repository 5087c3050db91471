"""Whether an answer made again is the one that was given, in words for people. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from nearline.contracts.answer import Recommendation
from nearline.contracts.event import Event
from nearline.say import say
from serving.made import Made, digest_of

_SHOWN = 5  # item ids of each list


@dataclass(frozen=True, slots=True)
class Replayed:
    """The answer made again of so many events; `difference` is "" where it is the one given."""

    answer: Recommendation
    equal: bool
    events: int
    difference: str = ""


def compared(exposure: Event, made: Made, answer: Recommendation, events: int) -> Replayed:
    """An answer made again, beside what its exposure tells of the one that was given."""
    if digest_of(answer) == made.digest:
        return Replayed(answer, True, events)
    given = [line.item_id for line in exposure.lines]
    again = [item.item_id for item in answer.items]
    return Replayed(answer, False, events, _difference(given, again))


def _difference(given: list[str], again: list[str]) -> str:
    if given == again:
        return say(
            "DIFFERENT: the same items in the same order, but other bytes (scores, ages, reasons). "
            "A machine that computes floating point otherwise does that; so does other code.",
            "不一致：商品及顺序相同，但字节不同（分数、时长或理由）。浮点计算方式不同的机器、不同版本的代码"
            "都会造成这种差异。",
        )
    shorter = min(len(given), len(again))
    place = next((at for at in range(shorter) if given[at] != again[at]), shorter)
    now, before = (listed[place : place + _SHOWN] for listed in (again, given))
    return say(
        f"DIFFERENT: from place {place + 1} on the list is {now}, it was {before}. "
        "History that was imported, erased or changed since then makes another answer.",
        f"不一致：从第 {place + 1} 位起，现在是 {now}，当时是 {before}。"
        "此后导入、删除或更改过的历史数据会产生不同的答案。",
    )
