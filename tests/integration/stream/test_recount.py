from __future__ import annotations

from pathlib import Path

import pytest

from nearline.history import files, table_of, write_day_file
from tests.integration.stream.recount import Counted, Recount
from tests.unit.stream import naive
from tests.unit.stream.made import shop_log


def agree(counted: Counted, rows: dict[str, object]) -> None:
    assert counted.keys() == rows.keys()
    for entity_id, values in counted.items():
        row = rows[entity_id][0]  # type: ignore[index]
        assert {name: row[name] for name in values} == values


@pytest.mark.parametrize("seed", range(2))
def test_the_recount_in_sql_and_the_one_in_python_agree(tmp_path: Path, seed: int) -> None:
    log = shop_log(seed, 500)
    write_day_file(tmp_path, "2026-09-21", "import-a-b_0_499.parquet", table_of(log))

    recount = Recount(files(tmp_path))

    agree(recount.customers(), dict(naive.customers(log)))
    agree(recount.items(), dict(naive.items(log)))
    recount.close()
