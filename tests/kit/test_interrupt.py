"""Ctrl-C ends a trial in any of its phases soon, cleans up, and says where the partial trace is; so does SIGKILL."""

import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from brownout.history.event import Event
from brownout.subject.waiting import eventually
from tests.kit.killable import Killable, killed_at_random, pytest_run
from tests.kit.leftovers import listening, strays, traces

AT_ONCE = 3.0  # s, or on a busy machine:
STARTS = 3  # times as long as this very pytest needed to start. What hangs in these trials hangs for 15 to 60 s.


def phase(name: str) -> Callable[[list[Event]], bool]:
    return lambda events: any(event.kind == "phase" and event.data["name"] == name for event in events)


def faults_act(events: list[Event]) -> bool:
    return sum(event.kind == "fault-acted" for event in events) == 2


def hangs(events: list[Event]) -> bool:
    return phase("heal")(events) and sum(event.kind == "invoke" for event in events) == 5


def works(events: list[Event]) -> bool:
    return phase("drain")(events) and any(event.kind == "started" for event in events)


def wait_for(run: Killable, condition: Callable[[list[Event]], bool]) -> None:
    def came() -> bool:
        assert run.popen.poll() is None, run.output
        return condition(run.events())

    eventually(came, within=60, every=0.03, what="the trial comes so far", evidence=lambda: run.output)


@pytest.mark.parametrize(
    ("name", "condition"),
    [("launch", phase("launch")), ("load", faults_act), ("heal", hangs), ("drain", works)],
    ids=["launch", "load", "heal", "drain"],
)
def test_control_c_cleans_up_at_once(tmp_path: Path, name: str, condition: Callable[[list[Event]], bool]) -> None:
    with pytest_run(tmp_path / "project", "-k", f"test_{name}") as run:
        wait_for(run, condition)
        # In its first instant a launch has started nothing yet.
        started = partial(traces, run.folder, besides=run.popen.pid)
        eventually(lambda: started().processes, within=60, every=0.005, what="a process of the subject runs")
        before, begin = started(), time.monotonic()
        os.killpg(run.popen.pid, signal.SIGINT)  # as a terminal does

        def over() -> bool:
            return all("brownout.subject.processes.reaper" in process for process in started().processes.values())

        eventually(over, within=60, every=0.02, what="nothing of the subject is left")
        took = time.monotonic() - begin  # the reaper ends with pytest, whose own end is not the kit's
        code = run.popen.wait(60)

        assert code == pytest.ExitCode.INTERRUPTED, run.output
        assert before.processes
        assert traces(run.folder).processes == {}
        assert not before.listening & listening()
        assert strays(run.folder / "tmp") == []
        (trial,) = run.folder.glob("store/test*/2*")
        assert f"its history and logs are in {trial.relative_to(run.folder)}" in run.output
        phases = [event.data["name"] for event in run.events() if event.kind == "phase"]
        assert phases[-1] == name, "the trial went on"
        assert took < max(AT_ONCE, STARTS * (run.events()[0].at / 1e9 - run.began)), run.output


KILLS = 3
SEED = random.randrange(1 << 32)


def test_sigkill_at_a_random_moment_leaves_nothing(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    seen = [killed_at_random(tmp_path / str(n), chance) for n in range(KILLS)]
    assert not any(each.left for each in seen), f"seed {SEED}: {seen}"
    assert any(each.processes for each in seen), f"seed {SEED}: {seen}"
