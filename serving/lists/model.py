"""What a list is: what was wanted, whom it names, and what became of everybody else. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from nearline.contracts.bundle import Task
from nearline.say import Words


class Channel(StrEnum):
    """By what way a customer can be reached."""

    PUSH = "push"
    EMAIL = "email"
    SMS = "sms"
    ONSITE = "onsite"  # On the next visit: the one way that needs no address.


class Grounds(StrEnum):
    """Why that channel."""

    CAME_BY = "came_by"  # The customer came by a campaign's link in it, most often of all.
    REACHABLE = "reachable"  # An address or token for it was stated.
    NO_ADDRESS = "no_address"  # None was, for any channel.
    CHOSEN = "chosen"  # Whoever made the list said so.


class Purpose(StrEnum):
    """What a list is for."""

    WIN_BACK = "win-back"
    REPURCHASE = "repurchase"
    DEMAND = "demand"


TASKS = {
    Purpose.WIN_BACK: Task.CHURN,
    Purpose.REPURCHASE: Task.REPURCHASE,
    Purpose.DEMAND: Task.CATEGORY_DEMAND,
}
COMES_TRUE = {  # Of how many of the listed, going by their probabilities.
    Purpose.WIN_BACK: Words("will really leave unless won back", "若不挽回将真正流失"),
    Purpose.REPURCHASE: Words("will buy again", "将再次购买"),
    Purpose.DEMAND: Words("will buy in the category", "将购买该品类"),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom a list should name: at most `most`, of at least such a chance and value.

    `horizon_days` None takes the shortest that the bundle knows. `categories` empty takes each
    customer's likeliest. `channel` None chooses for each.
    """

    purpose: Purpose
    most: int
    min_probability: float
    min_value_cents: float = 0.0
    horizon_days: int | None = None
    categories: tuple[str, ...] = ()
    channel: Channel | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """One channel by which a customer can be reached, and why it."""

    channel: Channel
    grounds: Grounds


@dataclass(frozen=True, slots=True)
class Entry:
    """One customer of a list. `at_stake_cents` is chance times value, None without a value."""

    customer_id: str
    probability: float
    horizon_days: int
    category: str
    value_cents: float | None
    way: Way
    last_seen_us: int
    why: tuple[Words, ...] = ()
    item_ids: tuple[str, ...] = ()

    @property
    def at_stake_cents(self) -> float | None:
        return None if self.value_cents is None else self.probability * self.value_cents

    @property
    def rank_by(self) -> tuple[float, float, str]:
        """Highest first: what is at stake, then the chance, then by id so that lists repeat."""
        return (self.at_stake_cents or 0.0, self.probability, self.customer_id)


class Left(StrEnum):
    """Why somebody is not on a list."""

    NO_CONSENT = "no_consent"
    EXCLUDED = "excluded"
    UNKNOWN = "unknown"
    UNSCORED = "unscored"
    OUTSIDE_COHORT = "outside_cohort"
    NOT_ASKED = "not_asked"
    UNLIKELY = "unlikely"
    LOW_VALUE = "low_value"
    CAPPED = "capped"
    BEYOND_MOST = "beyond_most"
    NO_ITEMS = "no_items"
    CAP_UNKNOWN = "cap_unknown"
    UNANSWERED = "unanswered"


LEFT_WORDS = {
    Left.NO_CONSENT: Words("have not consented to marketing", "未同意营销"),
    Left.EXCLUDED: Words("stand in the file to leave out", "在排除名单中"),
    Left.UNKNOWN: Words(
        "have no features in the store: nothing that may be used, or no backfill yet",
        "特征库中没有数据：没有可用的行为，或尚未回填",
    ),
    Left.UNSCORED: Words(
        "could not be scored: a fault of Nearline's own, which its log tells",
        "无法评分：Nearline 自身故障，详见日志",
    ),
    Left.OUTSIDE_COHORT: Words(
        "were unseen for too long: no score was calibrated on such",
        "离开过久：模型未在此类顾客上校准",
    ),
    Left.NOT_ASKED: Words(
        "are none of those that the model speaks of (have not bought, or not met the category)",
        "不在模型所指范围内（未曾购买，或未接触该品类）",
    ),
    Left.UNLIKELY: Words("are below the least probability", "低于最低概率"),
    Left.LOW_VALUE: Words("are below the least value, or it is unknown", "低于最低价值或价值未知"),
    Left.CAPPED: Words("have had as many messages as a frequency cap allows", "已达频次上限"),
    Left.BEYOND_MOST: Words("come after the last place of the list", "排在名单末位之后"),
    Left.NO_ITEMS: Words("have nothing to be recommended now", "暂无可推荐的商品"),
    Left.CAP_UNKNOWN: Words(
        "may have had enough messages: a frequency cap could not be read",
        "可能已达频次上限：上限计数无法读取",
    ),
    Left.UNANSWERED: Words("wait for items: the API did not answer", "尚无商品：接口未应答"),
}


@dataclass(frozen=True, slots=True)
class Made:
    """A list, best first, with what it was made from and who is not on it."""

    purpose: Purpose
    entries: tuple[Entry, ...]
    left: dict[Left, int]
    known: int  # Everybody that history knows, listed or not.
    bundle: str
    calibrated_at: str
    calibrated_to: str
    horizon_days: int
    as_of_us: int
    min_probability: float
    min_value_cents: float
    notes: tuple[Words, ...] = field(default=())
    unanswered: tuple[Entry, ...] = ()  # Of those left out, whom the API said nothing about.

    @property
    def expected(self) -> float:
        """Of how many of the listed it will come true, going by their calibrated chances."""
        return sum(entry.probability for entry in self.entries)
