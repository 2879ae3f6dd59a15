"""The process table: /proc and ps agree, and a reused pid is told apart."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from brownout.subject.processes import table

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    yield child
    child.kill()
    child.wait()


def test_an_entry_of_this_process() -> None:
    me = table.entry(os.getpid())
    assert me is not None
    assert (me.pid, me.parent, me.group, me.living) == (os.getpid(), os.getppid(), os.getpgrp(), True)
    assert me in table.entries() or me.state != "R"


def test_a_name_with_brackets_and_spaces_is_no_trap(tmp_path: object) -> None:
    odd = f"{tmp_path}/a) b (c"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", odd)
    child = subprocess.Popen([odd, "60"])
    try:
        found = table.entry(child.pid)
        assert found is not None
        assert found.parent == os.getpid()
    finally:
        child.kill()
        child.wait()


@pytest.mark.skipif(not shutil.which("ps"), reason="ps is not installed")
def test_ps_tells_the_same_as_proc(sleeper: subprocess.Popen[bytes]) -> None:
    [by_ps] = table.from_ps("-p", str(sleeper.pid))
    by_proc = table.from_proc(sleeper.pid)
    assert by_proc is not None
    assert (by_ps.pid, by_ps.parent, by_ps.group) == (by_proc.pid, by_proc.parent, by_proc.group)
    assert by_ps.started
    assert sleeper.pid in [entry.pid for entry in table.from_ps("-A")]


def test_nobody_is_none() -> None:
    assert table.entry(2**22 + 1) is None


def test_a_zombie_is_not_living(sleeper: subprocess.Popen[bytes]) -> None:
    started = table.entry(sleeper.pid).started  # type: ignore[union-attr]
    assert [entry.pid for entry in table.living_group(sleeper.pid, started)] == [sleeper.pid]
    assert table.end_group(sleeper.pid, started) == 1
    zombie = table.entry(sleeper.pid)
    assert zombie is not None
    assert not zombie.living
    assert table.living_group(sleeper.pid, started) == []
    assert table.end_group(sleeper.pid, started) == 0


def test_a_group_whose_number_was_given_out_again_is_left_alone(sleeper: subprocess.Popen[bytes]) -> None:
    assert table.end_group(sleeper.pid, "of another process") == 0
    assert sleeper.poll() is None


def test_a_stopped_group_ends(sleeper: subprocess.Popen[bytes]) -> None:
    started = table.entry(sleeper.pid).started  # type: ignore[union-attr]
    os.killpg(sleeper.pid, signal.SIGSTOP)
    assert table.end_group(sleeper.pid, started) == 1
    assert sleeper.wait() == -signal.SIGKILL
