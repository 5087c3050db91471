from __future__ import annotations

import pytest

from nearline.contracts.position import LogPosition


def test_a_token_reads_back_as_the_position_it_came_from() -> None:
    position = LogPosition(3, 1_760_000_000_000, 7)

    assert LogPosition.parse(str(position)) == position


@pytest.mark.parametrize("token", ["", "3-5", "a-1-2", "1-2-3-4", "-1-2-3", "1-²-3"])
def test_a_bad_token_is_refused_with_an_example(token: str) -> None:
    with pytest.raises(ValueError, match="looks like"):
        LogPosition.parse(token)
