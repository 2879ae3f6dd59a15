"""Processes that are launched, signalled, stopped, killed and supervised; all real."""

import os
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from brownout.subject.processes import table
from brownout.subject.processes.process import Process
from brownout.subject.processes.supervisor import supervise
from brownout.subject.waiting import NeverHappened, eventually

Launch = Callable[[str], Process]
SLEEP = "import time; print('up', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = """
    import subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print("up", child.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    launched: list[Process] = []

    def start(code: str) -> Process:
        argv = [sys.executable, "-c", textwrap.dedent(code)]
        process = Process.launch("it", argv, log=tmp_path / f"{len(launched)}.log")
        launched.append(process)
        eventually(lambda: "up" in process.tail(), within=10, what="the process prints", evidence=process.tail)
        return process

    yield start
    for process in launched:
        process.kill()


def gone(pid: int) -> bool:
    found = table.entry(pid)
    return found is None or not found.living


def test_a_launched_process_leads_its_own_session_and_logs(launch: Launch) -> None:
    process = launch("import sys; print('up out', flush=True); print('err', file=sys.stderr)")
    assert process.wait(10) == 0
    assert process.log.read_text().split() == ["up", "out", "err"]
    assert (process.alive, process.returncode, process.members()) == (False, 0, [])


def test_it_is_no_part_of_our_group(launch: Launch) -> None:
    process = launch(SLEEP)
    assert os.getpgid(process.pid) == os.getsid(process.pid) == process.pid


def test_the_environment_is_laid_over_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "1")
    code = "import os; print(os.environ['OURS'], os.environ['THEIRS'], os.getcwd())"
    process = Process.launch(
        "env", [sys.executable, "-c", code], log=tmp_path / "log", env={"THEIRS": "2"}, cwd=tmp_path
    )
    assert process.wait(10) == 0
    assert process.log.read_text().split() == ["1", "2", str(tmp_path)]


def test_what_cannot_be_executed_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Process.launch("none", [str(tmp_path / "nothing-here")], log=tmp_path / "log")


def test_a_stop_gives_the_exit_code(launch: Launch) -> None:
    process = launch(
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(7)); print('up', flush=True); time.sleep(60)"
    )
    assert process.stop(within=10) == 7
    assert process.escalation == ""


def test_a_paused_process_hears_the_stop(launch: Launch) -> None:
    process = launch(SLEEP)
    process.signal_group(signal.SIGSTOP)
    eventually(lambda: table.entry(process.pid).state == "T", within=5, what="stopped")  # type: ignore[union-attr]
    assert process.alive
    assert process.stop(within=10) == -signal.SIGTERM
    assert process.escalation == ""


def test_a_deaf_process_is_killed_with_its_group_and_it_is_said(launch: Launch) -> None:
    process = launch(DEAF)
    assert process.stop(within=0.2) == -signal.SIGKILL
    assert "did not end within 0.2 s of SIGTERM" in process.escalation
    assert process.escalation in process.tail()


def test_orphans_are_found_and_ended_when_the_main_process_is_dead(launch: Launch) -> None:
    process = launch(PARENT)
    [child] = process.children()
    process.signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert process.members() == [child.pid]
    process.signal_group(signal.SIGSTOP)
    eventually(lambda: table.entry(child.pid).state == "T", within=5, what="the orphan is stopped")  # type: ignore[union-attr]
    assert process.stop() == -signal.SIGKILL
    assert process.members() == []
    assert gone(child.pid)
    assert f"left processes [{child.pid}] in its group: killed" in process.escalation


def test_kill_ends_parent_and_child(launch: Launch) -> None:
    process = launch(PARENT)
    [child] = process.children()
    assert process.kill() == -signal.SIGKILL
    assert gone(child.pid)
    assert process.kill() == -signal.SIGKILL, "a second kill is harmless"


def test_a_signal_goes_to_the_main_process_only(launch: Launch) -> None:
    process = launch(PARENT)
    [child] = process.children()
    process.signal(signal.SIGSTOP)
    eventually(lambda: table.entry(process.pid).state == "T", within=5, what="stopped")  # type: ignore[union-attr]
    assert table.entry(child.pid).state != "T"  # type: ignore[union-attr]


def test_waiting_in_vain_shows_the_log(launch: Launch) -> None:
    process = launch("import time; print('up', 'the reason', flush=True); time.sleep(60)")
    with pytest.raises(NeverHappened, match=r"it .pid [0-9]+. has ended\n(.*\n)*up the reason"):
        process.wait(0.05)


def test_a_supervised_process_comes_back_and_its_ends_are_kept(tmp_path: Path) -> None:
    with supervise("it", [sys.executable, "-c", SLEEP], log=tmp_path / "log", delay=0) as it:
        first = it.current
        first.signal(signal.SIGKILL)
        eventually(lambda: it.current is not first and it.current.alive, within=10, what="a new process")
        assert [(exit_.pid, exit_.code) for exit_ in it.exits] == [(first.pid, -signal.SIGKILL)]
        assert (it.restarts, it.gave_up) == (1, "")
    assert not it.current.alive
    assert len(it.exits) == 1, "an end that was asked for is no exit"


def test_the_leftovers_of_an_end_are_gone_before_the_next_start(tmp_path: Path) -> None:
    with supervise("it", [sys.executable, "-c", textwrap.dedent(PARENT)], log=tmp_path / "log", delay=0) as it:
        first = it.current
        [child] = eventually(first.children, within=10, what="a child")
        first.signal(signal.SIGKILL)
        eventually(lambda: it.current is not first, within=10, what="a new process")
        assert gone(child.pid)


def test_the_restart_budget_ends_a_crash_loop(tmp_path: Path) -> None:
    with supervise("it", [sys.executable, "-c", "raise SystemExit(3)"], log=tmp_path / "log", budget=2, delay=0) as it:
        eventually(lambda: it.gave_up, within=20, what="giving up")
        assert [exit_.code for exit_ in it.exits] == [3, 3, 3]
        assert it.restarts == 2
        assert "restart limit is 2" in it.gave_up


@pytest.mark.parametrize("ends_first", [True, False], ids=["while it restarts", "while it runs"])
def test_nothing_starts_after_a_stop(tmp_path: Path, ends_first: bool) -> None:
    it = supervise("it", [sys.executable, "-c", SLEEP], log=tmp_path / "log", delay=60)
    if ends_first:
        it.current.signal(signal.SIGKILL)
        eventually(lambda: it.exits, within=10, what="the end is seen")
    assert it.stop(within=10) == (-signal.SIGKILL if ends_first else -signal.SIGTERM)
    assert not it._thread.is_alive()
    assert (it.restarts, it.current.alive) == (0, False)
