"""What others do on the machine, and what is left for us."""

from pathlib import Path

import pytest

from brownout.subject import load as module
from brownout.subject.load import Load, Sample, load, measured

STAT = """cpu  {user} 0 100 {idle} 50 0 0 0 0 0
cpu0 1 2 3 4 5 6 7 8 0 0
ctxt 1
procs_running {running}
procs_blocked 0
"""


def sample(user: int, idle: int, running: int = 1) -> Sample:
    return Sample.parse(STAT.format(user=user, idle=idle, running=running))


def test_the_text_of_the_kernel_is_read() -> None:
    assert sample(200, 700, 3) == Sample(busy=300, total=1050, running=3)
    for text in ("", "cpu\n", "cpu 1 2 3 4\n"):
        with pytest.raises(ValueError, match="/proc/stat"):
            Sample.parse(text)


def test_an_idle_machine_is_ours() -> None:
    found = measured([sample(0, 0), sample(1, 59), sample(1, 119)], cores=2, machine=2)
    assert found.idle
    assert found.share == 2.0


def test_others_get_their_share() -> None:
    """Four threads that never rest on two cores: the looking thread is not one of them."""
    found = measured([sample(0, 0, 5), sample(30, 0, 5), sample(60, 0, 5)], cores=2, machine=2)
    assert (found.used, found.wanted, found.idle) == (2.0, 4.0, False)
    assert found.share == pytest.approx(1.0)
    assert str(found) == "other programs use 2.0 of 2 cores (4.0 threads run or wait for a CPU)"


def test_of_what_a_larger_machine_does_these_cpus_get_their_share() -> None:
    """64 threads on 32 CPUs, all of them used: two for each CPU, and this process may use two of the CPUs."""
    found = measured([sample(0, 0, 65), sample(30, 0, 65)], cores=2, machine=32)
    assert (found.used, found.wanted) == (2.0, 4.0)


def test_a_used_core_counts_though_nobody_was_seen_to_run() -> None:
    assert measured([sample(0, 0), sample(30, 30)], cores=2, machine=2).share == pytest.approx(4 / 2.5)


def test_where_nothing_is_told_nobody_else_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STAT", tmp_path / "stat")
    assert load().idle
    assert measured([], cores=3, machine=4) == Load(3)
