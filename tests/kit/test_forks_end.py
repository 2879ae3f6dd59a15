"""Forked processes under supervision, from several threads, and when something dies: nothing of them is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from brownout.subject.part import Part
from brownout.subject.processes import custody
from brownout.subject.processes import forks as module
from brownout.subject.processes.forks import Forked, ForkerEnded
from brownout.subject.processes.launcher import Cold, Launcher
from brownout.subject.processes.process import Process
from brownout.subject.processes.supervisor import Supervisor
from brownout.subject.waiting import NeverHappened, eventually
from tests.kit.forking import PARENT, UP, Launching, all_gone, children, descriptors, in_state, is_up, living

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfds (Linux)"),
    pytest.mark.usefixtures("heard"),
]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def forked() -> Iterator[Forked]:
    """A launcher of the test's own, which may end it."""
    with Forked(()) as launcher:
        yield launcher


@pytest.fixture(params=["cold", "forked"])
def launcher(request: pytest.FixtureRequest) -> Launcher:
    return Cold() if request.param == "cold" else request.getfixturevalue("forked")


# --- under a supervisor, and from several threads


def test_a_supervised_process_comes_back_and_its_ends_are_kept(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(UP)
    part = Part("it", "it", (), tmp_path)
    with Supervisor("it", lambda: launcher.launch(part, tmp_path / "log"), budget=1, delay=0) as it:
        first, born = it.current, it.born
        is_up(first)
        first.signal(signal.SIGKILL)
        eventually(lambda: it.current is not first and it.current.alive, within=20, what="it is started again")
        second = it.current
        assert it.born > born
        assert [(end.pid, end.code) for end in it.exits] == [(first.pid, -signal.SIGKILL)]
        second.signal(signal.SIGTERM)
        eventually(lambda: it.gave_up, within=20, what="the budget is spent")
        assert it.gave_up == "it ended 2 times; the restart limit is 1"
    all_gone(first.pid, second.pid)


def test_a_supervised_process_whose_forker_is_gone_is_not_started_again(forked: Forked, tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(UP)
    part = Part("it", "it", (), tmp_path)
    with Supervisor("it", lambda: forked.launch(part, tmp_path / "log"), budget=9, delay=0) as it:
        is_up(it.current)
        forked.process.signal(signal.SIGKILL)
        eventually(lambda: it.gave_up, within=20, what="it gives up")
        assert it.gave_up.startswith("it cannot be started again: the forker has ended")
    all_gone(it.current.pid)


def test_a_stop_of_a_supervised_process_is_its_last_word(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(7)); print('up', flush=True); time.sleep(60)"
    )
    part = Part("it", "it", (), tmp_path)
    it = Supervisor("it", lambda: launcher.launch(part, tmp_path / "log"), budget=9, delay=0)
    is_up(it.current)
    it.current.signal_group(signal.SIGSTOP)
    in_state(it.current.pid, "T")
    assert it.stop(within=20) == 7, "a paused process hears the stop"
    assert (it.exits, it.restarts, it.current.escalation) == ([], 0, "")


def test_many_threads_launch_and_end_at_once(forked: Forked, tmp_path: Path) -> None:
    """Each gets its own process, and the exit code of no other."""
    (tmp_path / "it.py").write_text("import sys; print(sys.argv[1]); sys.exit(int(sys.argv[1]))")
    opened = descriptors()

    def one(number: int) -> tuple[int, str]:
        process = forked.launch(Part(f"it-{number}", "it", (str(number),), tmp_path), tmp_path / f"log-{number}")
        code = process.wait(30)
        process.kill()
        return code, process.log.read_text().strip()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, range(1, 65)))
    assert found == [(number, str(number)) for number in range(1, 65)]
    assert descriptors() == opened


def test_several_may_wait_for_one_end(launcher: Launcher, tmp_path: Path) -> None:
    with Launching(launcher, tmp_path) as start:
        process = start(UP)
        with ThreadPoolExecutor(4) as pool:
            waits = [pool.submit(process.wait, 20) for _ in range(4)]
            process.signal(signal.SIGTERM)
            assert [wait.result() for wait in waits] == [-signal.SIGTERM] * 4


# --- a launch that nobody waits for any more


@pytest.mark.parametrize("error", [KeyboardInterrupt, None], ids=["Ctrl-C", "time-out"])
def test_a_launch_that_nobody_waits_for_any_more_is_undone(
    forked: Forked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | None
) -> None:
    """The fork comes a moment later: it belongs to nobody, and a campaign may go on for hours."""
    (tmp_path / "it.py").write_text(UP)
    part, pids, hear = Part("it", "it", (), tmp_path), list[int](), forked._handle

    def hearing(said: dict[str, Any]) -> None:
        pids.extend([said["pid"]] if "pid" in said else [])
        hear(said)

    class Impatient(Future[Any]):
        patience = iter([error or TimeoutError])

        def result(self, timeout: float | None = None) -> Any:
            if gives_up := next(self.patience, None):
                raise gives_up
            return super().result(timeout)

    monkeypatch.setattr(forked, "_handle", hearing)
    monkeypatch.setattr(module, "Future", Impatient)
    held = set(custody._held)
    forked.process.signal(signal.SIGSTOP)
    with pytest.raises(error or NeverHappened):
        forked.launch(part, tmp_path / "its log")
    forked.process.signal(signal.SIGCONT)
    eventually(lambda: pids, within=20, what="it is forked all the same")
    all_gone(*pids)
    assert set(custody._held) == held
    monkeypatch.undo()
    with Launching(forked, tmp_path) as start:
        assert start(UP).alive, "the next one is not its victim"


# --- when something dies


def test_without_the_process_that_forks_nothing_is_left(forked: Forked, tmp_path: Path) -> None:
    with Launching(forked, tmp_path) as start:
        process = start(PARENT)
        pids = [process.pid, *children(process)]
        assert len(pids) == 3
        forked.process.signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
        process.kill()
        all_gone(*pids)
        with pytest.raises(ForkerEnded, match="the forker has ended"):
            start(UP)


def test_a_launch_on_its_way_when_the_process_that_forks_dies_raises(forked: Forked, tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(UP)
    forked.process.signal(signal.SIGSTOP)
    in_state(forked.process.pid, "T")
    raised: list[BaseException] = []

    def launch() -> None:
        try:
            forked.launch(Part("it", "it", (), tmp_path), tmp_path / "log")
        except ForkerEnded as error:
            raised.append(error)

    thread = Thread(target=launch)
    thread.start()
    eventually(lambda: forked._pending, within=10, what="it is asked")
    forked.process.signal(signal.SIGKILL)
    thread.join(20)
    assert len(raised) == 1


@pytest.mark.parametrize("stopped", [False, True], ids=["", "stopped"])
def test_closing_leaves_nothing(tmp_path: Path, stopped: bool) -> None:
    """Also of a process that forks and cannot hear."""
    threads = sorted(thread.name for thread in threading.enumerate())
    held, opened = set(custody._held), descriptors()
    launcher = Forked(())
    start = Launching(launcher, tmp_path).start
    started = [start(UP), start(PARENT), start("")]
    pids = [pid for process in started for pid in (process.pid, *children(process))]
    if stopped:
        launcher.process.signal(signal.SIGSTOP)
        in_state(launcher.process.pid, "T")
    launcher.close()
    for process in started:
        process.kill()
    all_gone(*pids, launcher.process.pid)
    assert (set(custody._held), descriptors()) == (held, opened)
    assert sorted(thread.name for thread in threading.enumerate()) == threads
    with pytest.raises(ForkerEnded, match="closed"):
        start(UP)
    launcher.close()


RUN = """
    import json, sys
    from pathlib import Path
    from brownout.subject.processes import custody
    from brownout.subject.processes.forks import Forked
    from brownout.subject.part import Part
    from brownout.subject.waiting import eventually

    with Forked(()) as forked:
        here = Path.cwd()
        process = forked.launch(Part("it", "it", (), here), here / "log")
        eventually(lambda: "up" in process.tail(), within=60, what="the process prints")
        facts = {"pids": process.members(), "forker": forked.process.pid, "reaper": custody._reaper.pid}
        print(json.dumps(facts), flush=True)
        process.wait(600)
"""


def started(folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """A process that has started a forker and, by it, a process with two children."""
    (folder / "it.py").write_text(textwrap.dedent(PARENT))
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RUN)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert run.stdout is not None
    facts: dict[str, Any] = json.loads(run.stdout.readline())
    assert len(facts["pids"]) == 3
    assert all(map(living, [*facts["pids"], facts["forker"], facts["reaper"]]))
    return run, facts


@pytest.mark.parametrize("other", ["reaper", "forker", None])
def test_a_run_that_is_killed_leaves_nothing(tmp_path: Path, other: str | None) -> None:
    """Both the reaper and the process that forks clean up: either does it alone."""
    run, facts = started(tmp_path)
    with run:
        try:
            run.send_signal(signal.SIGSTOP)  # so that it cannot act on what comes
            if other:
                os.kill(facts[other], signal.SIGKILL)
        finally:
            run.kill()
    all_gone(*facts["pids"], facts["forker"], facts["reaper"])


def test_control_c_reaches_no_fork_and_leaves_nothing(tmp_path: Path) -> None:
    """A terminal sends it to the whole group of the run; forks lead groups of their own, and the run ends them."""
    run, facts = started(tmp_path)
    with run:
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(30) == -signal.SIGINT
        assert run.stderr is not None
        said = run.stderr.read().decode()
    assert said.rstrip().endswith("KeyboardInterrupt"), said
    assert "KeyboardInterrupt" not in (tmp_path / "log").read_text(), "the fork was not interrupted"
    all_gone(*facts["pids"], facts["forker"], facts["reaper"])


def test_a_forker_of_which_nobody_knows_more_tells_no_wrong_code(
    forked: Forked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says is not understood: all that it forked is ended, and so it is told."""
    process: Process
    with Launching(forked, tmp_path) as start:
        process = start(UP)
        broken = {"exit": process.pid + 10**7, "code": 0}
        hear = forked._handle
        monkeypatch.setattr(forked, "_handle", lambda _: hear(broken))
        with pytest.raises(ForkerEnded, match="a message of the forker cannot be read: KeyError"):
            start("print()")
        assert process.wait(10) == -signal.SIGKILL
