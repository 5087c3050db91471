"""What serving answers when it is asked in its own process: the question and the figures.

`python -m serving.floor` measures it; the court only knows these shapes.
"""

from __future__ import annotations

import msgspec

MODULE = "serving.floor"


class Question(msgspec.Struct, frozen=True):
    """Ask for each customer in turn, `calls` times in all, after `warm_up` that do not count.

    With `bundle`, the home folder is told first that this one, version 1, should answer.
    """

    customers: list[str]
    k: int
    calls: int
    warm_up: int = 50
    ready_limit_s: float = 60.0
    bundle: str = ""


class Memory(msgspec.Struct, frozen=True):
    """Resident memory (bytes) of a replica's process, before and after each thing it loads."""

    imported: int
    loaded_bundle: int
    loaded_items: int
    answered: int


class InProcess(msgspec.Struct, frozen=True, kw_only=True):
    """Times in ms of whole answers, to JSON bytes, and of their stages, in step with the calls."""

    answers_ms: list[float]
    stages_ms: dict[str, list[float]]
    candidates: list[int]  # how many options each answer was chosen from
    candidate_ids: list[str]  # those of the last answer
    degraded: list[str]
    items: int  # held in memory
    load_bundle_s: float
    load_items_s: float
    memory: Memory
