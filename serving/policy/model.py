"""What a policy is: scenes, rules and campaigns, as the YAML files of one folder state them.

Values only; frozen. `canonical` and `from_canonical` keep a policy as bytes, by its version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nearline.contracts.answer import MAX_ITEMS

SourceName = Literal[
    "encoder",
    "revisit",
    "covisit",
    "content",
    "popular",
    "arrivals",
    "similar",
    "also_viewed",
    "bought_together",
    "complements",
    "repurchase",
    "category",
]
Voter = Literal[SourceName, "ranker"]
RANKER: Final = "ranker"
MAX_CANDIDATES = 250  # What all sources of a scene may name together.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,59}$")]
Text = Annotated[str, Meta(min_length=1, max_length=300)]
Share = Annotated[float, Meta(gt=0.0, le=1.0)]
Unit = Annotated[float, Meta(ge=0.0, le=1.0)]
Places = Annotated[int, Meta(ge=1, le=MAX_ITEMS)]
Stars = Annotated[float, Meta(ge=0.0, le=5.0)]
Days = Annotated[int, Meta(ge=0, le=3650)]


class Title(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people call a scene."""

    en: Text
    zh: Text


class Length(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many items a list has if the question does not say, and at most."""

    default: Places = 10
    most: Places = 100


class Exploration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last `places` of a list: with probability `share` each shows one of the next `pool`."""

    places: Annotated[int, Meta(ge=0, le=MAX_ITEMS)] = 0
    share: Unit = 0.1
    pool: Annotated[int, Meta(ge=1, le=MAX_CANDIDATES)] = 20


class Diversity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much unlike its neighbours an item should be: 0 the ranked order, 1 only unlikeness."""

    strength: Unit = 0.0
    pool: Annotated[int, Meta(ge=2, le=MAX_CANDIDATES)] = 50


class FrequencyCap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A customer gets at most `at_most` lists by a channel within any `window_hours`."""

    channel: Name
    at_most: Annotated[int, Meta(ge=0, le=1000)]
    window_hours: Annotated[float, Meta(gt=0.0, le=24.0 * 365)]


class RuleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules of every list; see docs/scenes.md for what each does."""

    never_purchased: bool = True
    repurchasable_categories: dict[Text, Days] = {}
    category_share: Share = 0.3
    seen_share: Share = 0.4
    min_rating: Stars | None = 3.0
    out_of_stock: bool = True
    banned: frozenset[Text] = frozenset()
    banned_categories: frozenset[Text] = frozenset()
    age_limits: bool = True
    frequency_caps: tuple[FrequencyCap, ...] = ()


class RuleOverrides(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a scene states otherwise: lists add to those of the shop, values replace them."""

    never_purchased: bool | UnsetType = UNSET
    repurchasable_categories: dict[Text, Days] | UnsetType = UNSET
    category_share: Share | UnsetType = UNSET
    seen_share: Share | UnsetType = UNSET
    min_rating: Stars | UnsetType | None = UNSET
    out_of_stock: bool | UnsetType = UNSET
    banned: frozenset[Text] | UnsetType = UNSET
    banned_categories: frozenset[Text] | UnsetType = UNSET
    age_limits: bool | UnsetType = UNSET
    frequency_caps: tuple[FrequencyCap, ...] | UnsetType = UNSET


class Scene(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A place in the shop: who proposes items for it, who orders them, how many, which rules.

    `sources` says how many items each may name. Where `weights` names the ranker alone, its
    order stands. `needs` is what a question must bring. `fallback` are the sources that fill
    up a list that the others leave short, in that order.
    """

    title: Title
    sources: Annotated[
        dict[SourceName, Annotated[int, Meta(ge=1, le=MAX_CANDIDATES)]], Meta(min_length=1)
    ]
    weights: Annotated[
        dict[Voter, Annotated[float, Meta(gt=0.0, le=1000.0)]], Meta(min_length=1)
    ] = msgspec.field(default_factory=lambda: {RANKER: 1.0})
    needs: Literal["none", "items", "category"] = "none"
    length: Length = Length()
    fallback: tuple[SourceName, ...] = ()
    rules: RuleOverrides = RuleOverrides()
    channel: Annotated[str, Meta(pattern="^([a-z0-9][a-z0-9_-]{0,59})?$")] = ""
    explore: Exploration = Exploration()
    diversity: Diversity = Diversity()


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item that stands at a place, from 1, while its campaign runs."""

    item_id: Text
    place: Places


class Boost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An item, or all of a category, whose rank is divided by `factor`: 12th with 3 is 4th."""

    factor: Annotated[float, Meta(ge=0.01, le=100.0)]
    item_id: Annotated[str, Meta(max_length=300)] = ""
    category: Annotated[str, Meta(max_length=300)] = ""


class Audience(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Customers who carry at least one of these tags (`nearline.transforms.tags`)."""

    tags: Annotated[frozenset[Text], Meta(min_length=1)]


class Campaign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pins and boosts from one instant until just before another. No scenes means all."""

    id: Name
    starts: Annotated[datetime, Meta(tz=True)] = msgspec.field(name="from")
    ends: Annotated[datetime, Meta(tz=True)] = msgspec.field(name="to")
    scenes: frozenset[Name] = frozenset()
    pins: tuple[Pin, ...] = ()
    boosts: tuple[Boost, ...] = ()
    audience: Audience | None = None

    def speaks_to(self, at: datetime, tags: AbstractSet[str]) -> bool:
        """Whether it runs at an instant, for a customer with these tags."""
        heard = self.audience is None or not self.audience.tags.isdisjoint(tags)
        return heard and self.starts <= at < self.ends


class SceneRules(msgspec.Struct, frozen=True):
    """Everything that decides about the lists of one scene."""

    settings: RuleSettings = RuleSettings()
    explore: Exploration = Exploration()
    diversity: Diversity = Diversity()
    campaigns: tuple[Campaign, ...] = ()  # of any time, by id

    def live(self, as_of_us: int, tags: AbstractSet[str]) -> tuple[Campaign, ...]:
        """The campaigns that speak to a customer with these tags at an instant."""
        if not self.campaigns:
            return ()
        at = _EPOCH + timedelta(microseconds=as_of_us)
        return tuple(one for one in self.campaigns if one.speaks_to(at, tags))

    def pinned_ids(self, as_of_us: int, tags: AbstractSet[str]) -> tuple[str, ...]:
        """Items that campaigns pin: candidates of such a list, whoever else proposes them."""
        live = self.live(as_of_us, tags)
        return tuple(dict.fromkeys(pin.item_id for one in live for pin in one.pins))

    def caps(self, channel: str) -> tuple[FrequencyCap, ...]:
        """The caps that count for a channel; none for ""."""
        return tuple(cap for cap in self.settings.frequency_caps if cap.channel == channel)


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """All that the files of one folder say."""

    scenes: dict[Name, Scene]
    rules: RuleSettings = RuleSettings()
    campaigns: tuple[Campaign, ...] = ()  # by id

    @cached_property
    def version(self) -> str:
        """12 hexadecimal digits; equal for files that say the same in another order or layout."""
        return hashlib.blake2b(canonical(self), digest_size=6).hexdigest()

    @cached_property
    def caps(self) -> Mapping[str, tuple[FrequencyCap, ...]]:
        """By channel: the caps of every scene. What one lets through counts for all of them."""
        found = dict.fromkeys(
            cap for rules in self.scene_rules.values() for cap in rules.settings.frequency_caps
        )
        return {
            channel: tuple(cap for cap in found if cap.channel == channel)
            for channel in dict.fromkeys(cap.channel for cap in found)
        }

    @cached_property
    def scene_rules(self) -> Mapping[str, SceneRules]:
        """By scene: the shop's rules with the scene's own, and the campaigns that name it."""
        return {
            name: SceneRules(
                settings=_overridden(self.rules, scene.rules),
                explore=scene.explore,
                diversity=scene.diversity,
                campaigns=tuple(
                    one for one in self.campaigns if not one.scenes or name in one.scenes
                ),
            )
            for name, scene in self.scenes.items()
        }


def canonical(policy: Policy) -> bytes:
    """The policy as JSON in one fixed order, defaults written out."""
    return msgspec.json.encode(policy, order="sorted")


def from_canonical(kept: bytes) -> Policy:
    """The policy of `canonical`'s bytes; msgspec.ValidationError for others."""
    return msgspec.json.decode(kept, type=Policy)


def _overridden(shop: RuleSettings, scene: RuleOverrides) -> RuleSettings:
    changes: dict[str, object] = {}
    for name in RuleOverrides.__struct_fields__:
        held, stated = getattr(shop, name), getattr(scene, name)
        if stated is UNSET:
            continue
        if isinstance(held, tuple):
            changes[name] = tuple(dict.fromkeys((*held, *stated)))
        else:
            adds = isinstance(held, dict | frozenset)
            changes[name] = held | stated if adds else stated
    return msgspec.structs.replace(shop, **changes)
