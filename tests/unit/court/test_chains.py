"""A chain answers as a copy of its parts would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nearline.transforms.chains import ChainedColumn, ChainedMapping


@given(st.lists(st.integers()), st.lists(st.integers()))
def test_a_chained_column_answers_as_a_copy_would(first: list[int], more: list[int]) -> None:
    chained, copy = ChainedColumn(first, more), [*first, *more]

    assert len(chained) == len(copy)
    assert [chained[row] for row in range(len(copy))] == copy


@given(
    st.dictionaries(st.integers(0, 9), st.none() | st.integers()),
    st.dictionaries(st.integers(10, 19), st.none() | st.integers()),
)
def test_a_chained_mapping_answers_as_a_copy_would(
    first: dict[int, int | None], more: dict[int, int | None]
) -> None:
    chained, copy = ChainedMapping(first, more), {**first, **more}

    assert dict(chained) == copy
    assert len(chained) == len(copy)
    for key in range(-1, 21):
        assert (key in chained) == (key in copy)
        assert chained.get(key, "none") == copy.get(key, "none")
