from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from ingestion.worker.lease import Holder, this_process


def test_a_token_reads_back_as_its_holder() -> None:
    holder = this_process("worker")

    assert Holder.parse(str(holder)) == holder


@pytest.mark.parametrize("token", ["", "worker", "a|b|c|d|e|f", "a|b|c|1|e"])
def test_a_strange_token_names_nobody(token: str) -> None:
    assert Holder.parse(token) is None


def test_a_living_process_is_not_dead() -> None:
    assert not this_process("worker").is_dead


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_process_that_ended_is_dead_also_when_its_number_is_used_again() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    here = this_process("worker")

    assert replace(here, pid=child.pid).is_dead
    assert replace(here, born="1").is_dead


def test_of_another_machine_nothing_is_known() -> None:
    assert not replace(this_process("worker"), place="elsewhere", born="1").is_dead
