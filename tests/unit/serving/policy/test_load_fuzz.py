"""Whatever stands in a file: a policy, or sentences that each name a line of it."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from serving.policy.lines import Problem
from serving.policy.load import SHIPPED, PolicyRefused, load
from serving.policy.model import Policy, canonical, from_canonical

GOOD = [
    *SHIPPED.joinpath("rules.yaml").read_text("utf-8").splitlines(),
    *SHIPPED.joinpath("scenes.yaml").read_text("utf-8").splitlines(),
    *"campaigns:\n- id: x\n  from: 2026-11-01\n  to: 2026-11-11\n".splitlines(),
    "  pins: [{item_id: a, place: 1}]",
    "  boosts: [{category: b, factor: 2}]",
    "  audience: {tags: [dormant]}",
]
PIECES = [
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "0",
    "-1",
    "1e999",
    "nan",
    "null",
    "~",
    "*a",
    "&a ",
    "!!x ",
]
edits = st.tuples(
    st.integers(0, len(GOOD) - 1), st.integers(0, 40), st.integers(0, 10), st.sampled_from(PIECES)
)


def outcome(content: bytes) -> Policy | tuple[Problem, ...]:
    try:
        return load({"any.yaml": content})
    except PolicyRefused as refused:
        return refused.problems


def judged(content: bytes) -> None:
    found = outcome(content)
    if isinstance(found, Policy):
        assert from_canonical(canonical(found)) == found
        return
    lines = content.count(b"\n") + content.count(b"\r") + 1
    assert found
    for problem in found:
        assert 1 <= problem.line <= lines
        assert problem.text.en
        assert problem.text.zh


@given(st.binary(max_size=200))
@example(b"")
@example(b"\xef\xbb\xbfrules: {}")
@example(b"? ")
@example(b"rules: {: a}")
def test_any_bytes(content: bytes) -> None:
    judged(content)


@given(st.lists(edits, min_size=1, max_size=4))
def test_a_good_file_with_a_few_wrong_strokes(wrong: list[tuple[int, int, int, str]]) -> None:
    lines = list(GOOD)
    for line, at, length, piece in wrong:
        text = lines[line]
        lines[line] = text[:at] + piece + text[at + length :]
    judged("\n".join(lines).encode())
