"""The YAML files of a folder as one policy, or all their mistakes at once. Pure but `shipped`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from nearline.errors import PermanentError
from nearline.say import Words
from serving.policy import meaning
from serving.policy.lines import Listing, Node, Problem, Scalar, Table, read
from serving.policy.model import Boost, Campaign, FrequencyCap, Name, Policy, RuleSettings, Scene
from serving.policy.shape import FAULTY, Shape, kind_of

SHIPPED = Path(__file__).parent / "defaults"
MOST_TOLD = 100  # Mistakes of one file.
SECTIONS = ("scenes", "rules", "campaigns")


class PolicyRefused(PermanentError):
    """Files that cannot be used; `problems` holds every mistake, by file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda one: (one.file, one.line)))
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[PolicyRefused], tuple[tuple[Problem, ...]]]:
        return PolicyRefused, (self.problems,)  # from replica to replica


def load(files: Mapping[str, bytes]) -> Policy:
    """The policy that files say together; raises PolicyRefused with every mistake.

    A section (scenes, rules, campaigns) that none of them has is the one that ships.
    """
    return _read(files, shipped())


@cache
def shipped() -> Policy:
    """The policy that comes with Nearline."""
    return _read({path.name: path.read_bytes() for path in sorted(SHIPPED.glob("*.yaml"))}, None)


@dataclass(slots=True)
class _Draft:
    """What was found so far in all files."""

    scenes: dict[str, Scene] = field(default_factory=dict)
    campaigns: list[tuple[str, Campaign, Shape]] = field(default_factory=list)
    rules: RuleSettings | None = None
    scenes_at: Shape | None = None  # the first file that has the section
    named: set[str] = field(default_factory=set)  # scenes, unreadable ones too
    met: dict[str, tuple[str, int]] = field(default_factory=dict)

    def first(self, shape: Shape, what: str, line: int) -> bool:
        """Whether a thing, of which a policy has one, was not met before in any file."""
        if what not in self.met:
            self.met[what] = (shape.file, line)
            return True
        file, before = self.met[what]
        shape.problem(
            line,
            f"{what} stands in {file}:{before} already: keep one of them",
            f"{what} 已出现在 {file}:{before}：请只保留一处",
        )
        return False


def _read(files: Mapping[str, bytes], others: Policy | None) -> Policy:
    """The policy of some files; sections that they lack are those of `others`."""
    draft, shapes = _Draft(), [Shape(file) for file in sorted(files)]
    for shape in shapes:
        _file(shape, files[shape.file], draft)
    if draft.scenes_at is None and others is not None:
        draft.scenes, draft.named = others.scenes, set(others.scenes)
    elif draft.scenes_at is not None:
        _note(draft.scenes_at, meaning.policy_faults(draft.named))
    for path, campaign, shape in draft.campaigns:
        _note(shape, meaning.campaign_faults(path, campaign, draft.named))
    if problems := [problem for shape in shapes for problem in _first(shape)]:
        raise PolicyRefused(problems)
    rules = draft.rules or (others.rules if others else RuleSettings())
    campaigns = (_ordered_campaign(campaign) for _, campaign, _ in draft.campaigns)
    return Policy(
        scenes={name: _ordered_scene(scene) for name, scene in draft.scenes.items()},
        rules=msgspec.structs.replace(rules, frequency_caps=_ordered_caps(rules.frequency_caps)),
        campaigns=tuple(sorted(campaigns, key=lambda one: one.id)),
    )


def _file(shape: Shape, content: bytes, draft: _Draft) -> None:
    root, problems = read(content, shape.file)
    shape.problems += problems
    top = shape.table(root, shape.file) or Table(1)
    for name, node in top.nodes.items():
        line = top.lines[name]
        if name == "scenes":
            draft.scenes_at = draft.scenes_at or shape
            _scenes(shape, node, line, draft)
        elif name == "campaigns":
            _campaigns(shape, node, draft)
        elif name != "rules":
            shape.unknown(line, shape.file, name, SECTIONS)
        elif draft.first(shape, "rules", line):
            draft.rules = shape.value(node, kind_of(RuleSettings), "rules")
            if draft.rules is not FAULTY:
                caps = draft.rules.frequency_caps
                _note(shape, meaning.cap_faults("rules.frequency_caps", caps))


def _scenes(shape: Shape, node: Node, line: int, draft: _Draft) -> None:
    shape.lines["scenes"] = line
    table = shape.table(node, "scenes") or Table(line)
    for name, child in table.nodes.items():
        path = f"scenes.{name}"
        shape.lines[path] = table.lines[name]
        key = Scalar(table.lines[name], name, quoted=True)
        draft.named.add(name)
        if shape.value(key, kind_of(Name), path) is FAULTY:
            continue
        if not draft.first(shape, path, key.line):
            continue
        scene = shape.value(child, kind_of(Scene), path)
        if scene is FAULTY:
            continue
        draft.scenes[name] = scene
        _note(shape, meaning.scene_faults(path, scene))
        if (caps := scene.rules.frequency_caps) is not UNSET:
            _note(shape, meaning.cap_faults(f"{path}.rules.frequency_caps", caps))


def _campaigns(shape: Shape, node: Node, draft: _Draft) -> None:
    if not isinstance(node, Listing):  # nothing, or not what it should be
        shape.value(node, kind_of(tuple[Campaign, ...]), "campaigns")
        return
    for at, child in enumerate(node.nodes):
        path = f"campaigns[{at}]"
        campaign = shape.value(child, kind_of(Campaign), path)
        if campaign is FAULTY:
            continue
        line = shape.lines[f"{path}.id"]
        if draft.first(shape, f"campaigns[id={campaign.id}]", line):
            draft.campaigns.append((path, campaign, shape))


def _first(shape: Shape) -> list[Problem]:
    """The problems of a file by line; of very many the first, and that there are more."""
    told = sorted(shape.problems, key=lambda one: one.line)
    if len(told) > MOST_TOLD:
        more, line = len(told) - MOST_TOLD, told[MOST_TOLD].line
        words = Words(
            f"{more} more mistakes from here on: mend those above first",
            f"由此往后还有 {more} 处错误：请先修正以上各处",
        )
        told[MOST_TOLD:] = [Problem(shape.file, line, words)]
    return told


def _note(shape: Shape, faults: Iterable[meaning.Fault]) -> None:
    for path, words in faults:
        known = path
        while known not in shape.lines and "." in known:  # a default's line is its owner's
            known = known.rpartition(".")[0]
        shape.problem(shape.lines.get(known, 1), words.en, words.zh)


def _ordered_scene(scene: Scene) -> Scene:
    caps = scene.rules.frequency_caps
    if caps is UNSET:
        return scene
    rules = msgspec.structs.replace(scene.rules, frequency_caps=_ordered_caps(caps))
    return msgspec.structs.replace(scene, rules=rules)


def _ordered_campaign(campaign: Campaign) -> Campaign:
    """Pins and boosts in one order: theirs in the file means nothing."""
    pins = sorted(campaign.pins, key=lambda pin: pin.place)
    boosts: list[Boost] = sorted(campaign.boosts, key=msgspec.structs.astuple)
    return msgspec.structs.replace(campaign, pins=tuple(pins), boosts=tuple(boosts))


def _ordered_caps(caps: Any) -> tuple[FrequencyCap, ...]:
    return tuple(sorted(caps, key=msgspec.structs.astuple))
