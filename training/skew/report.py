"""What a comparison found, for a terminal."""

from __future__ import annotations

from nearline.say import say
from training.skew.compare import Skew

_MOST_FEATURES = 20


def to_text(skew: Skew) -> str:
    """The figures, and each feature that differs with its first example; no customer, no item."""
    if not skew.answers:
        return _left_out(skew) or say(
            "No feature vectors were kept in this time. Serving keeps those of a share of its "
            "answers: NEARLINE_SERVED_SAMPLE, 0.01 by default.",
            "此时段内没有保存的特征向量。保存比例由 NEARLINE_SERVED_SAMPLE 设定，默认 0.01。",
        )
    lines = [
        say(
            f"{skew.answers:,} answers, {skew.rows:,} rows, {skew.values:,} float32 values "
            "compared bit for bit",
            f"逐位比较 {skew.answers:,} 个回答、{skew.rows:,} 行、{skew.values:,} 个 float32 值",
        ),
        say(
            f"{skew.exact:,} equal the offline rows of their instant, {skew.delayed:,} equal what "
            f"the store had applied{_delay(skew)}",
            f"{skew.exact:,} 个与该时刻的离线特征一致，{skew.delayed:,} 个与当时在线库已应用的一致"
            f"{_delay(skew)}",
        ),
        say(f"mismatches: {skew.mismatched:,} answers", f"不一致：{skew.mismatched:,} 个回答"),
    ]
    for name, count in skew.by_feature.most_common(_MOST_FEATURES):
        example = skew.examples[name]
        lines.append(
            say(
                f"  {name}: {count:,} values; {example.side} has {example.found!r} where "
                f"{example.expected!r} is right",
                f"  {name}：{count:,} 个值；{example.side} 为 {example.found!r}，"
                f"应为 {example.expected!r}",
            )
        )
    if len(skew.by_feature) > _MOST_FEATURES:
        more = len(skew.by_feature) - _MOST_FEATURES
        lines.append(say(f"  and {more} more features", f"  另有 {more} 个特征"))
    return "\n".join(part for part in (*lines, _left_out(skew)) if part)


def _delay(skew: Skew) -> str:
    if not skew.delays_us:
        return ""
    longest_ms = max(skew.delays_us) / 1_000
    return say(
        f" (events under way, known for at most {longest_ms:,.0f} ms)",
        f"（事件处理中，最长 {longest_ms:,.0f} 毫秒）",
    )


def _left_out(skew: Skew) -> str:
    parts = [
        (skew.too_new, "newer than history", "历史尚未覆盖"),
        (skew.other_features, "of code with other features", "特征列表不同"),
        (skew.unreadable, "of another shape", "形状不符"),
    ]
    told = [say(f"{count:,} {en}", f"{count:,} 个{zh}") for count, en, zh in parts if count]
    return say(f"left out: {', '.join(told)}", f"未比较：{'，'.join(told)}") if told else ""
