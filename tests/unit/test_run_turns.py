"""How many trials run at once, and that the one that must be alone is."""

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from brownout.check import promises as p
from brownout.plan.plan import Plan
from brownout.plan.promise import Promise
from brownout.run.turns import Stopped, Turns, at_once, measures_soon, most_at_once
from brownout.subject.waiting import eventually

WITHIN = 10.0


class Trials:
    """Threads that each hold a turn until they are let go."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.running: list[str] = []
        self._over: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def start(self, name: str, *, alone: bool = False) -> None:
        self._over[name] = threading.Event()
        thread = threading.Thread(target=self._run, args=(name, alone))
        self._threads.append(thread)
        thread.start()

    def _run(self, name: str, alone: bool) -> None:
        with self._turns.taken(alone=alone):
            self.running.append(name)
            assert self._over[name].wait(WITHIN)
            self.running.remove(name)

    def run(self, *names: str) -> None:
        """Wait until these run and no others do."""
        eventually(lambda: sorted(self.running) == sorted(names), within=WITHIN, what=f"{names} run",
                   evidence=lambda: str(self.running))  # fmt: skip

    def end(self, *names: str) -> None:
        for name in names:
            self._over[name].set()

    def close(self) -> None:
        self.end(*self._over)
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize(("cores", "others", "trials"), [(2, 0, 4), (2, 2, 4), (2, 3, 3), (2, 4, 2), (2, 50, 2),
                                                         (8, 0, 16), (8, 12, 12), (1, 0, 2), (1, 9, 1)])  # fmt: skip
def test_the_number_at_once_follows_from_the_cores_and_the_load(cores: int, others: float, trials: int) -> None:
    assert at_once(cores, others) == trials


def test_no_more_run_at_once_than_the_machine_can(tmp_path: Path) -> None:
    trials = Trials(Turns(tmp_path, cores=2, load=lambda: 100.0))
    for name in ("a", "b"):
        trials.start(name)
    trials.run("a", "b")
    trials.start("c")
    eventually(lambda: _is_locked(tmp_path / "gate"), within=WITHIN, what="the third waits at the gate")
    trials.run("a", "b")
    trials.end("a")
    trials.run("b", "c")
    trials.close()


def test_an_idle_machine_fills_every_slot(tmp_path: Path) -> None:
    trials = Trials(Turns(tmp_path, cores=1, load=lambda: 0.0))
    for n in range(most_at_once(1) + 1):
        trials.start(str(n))
    eventually(lambda: len(trials.running) == most_at_once(1), within=WITHIN, what="all slots are taken")
    trials.close()


def test_who_must_be_alone_waits_for_the_others_and_keeps_later_ones_waiting(tmp_path: Path) -> None:
    trials = Trials(Turns(tmp_path, cores=2, load=lambda: 0.0))
    trials.start("a")
    trials.run("a")
    trials.start("alone", alone=True)
    gate = Turns(tmp_path, cores=2).place / "gate"
    eventually(lambda: _is_locked(gate), within=WITHIN, what="the one that must be alone waits at the gate")
    trials.start("later")
    trials.end("a")
    trials.run("alone")
    trials.end("alone")
    trials.run("later")
    trials.close()


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("place", ["gate", "slot-0", "slot-1"])
def test_a_wait_for_a_turn_ends_when_it_is_told_to(tmp_path: Path, place: str, *, alone: bool) -> None:
    turns = Turns(tmp_path, cores=1, load=lambda: 50.0)
    looks = iter([False, False, True])
    with (tmp_path / place).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        freed = threading.Timer(WITHIN, other.close)  # a wait that is not told to end gets its turn in the end
        freed.start()
        with pytest.raises(Stopped):
            turns.taken(alone=alone, stopped=lambda: next(looks)).__enter__()
        freed.cancel()
    with turns.taken(alone=True):
        assert next(looks, "none left") == "none left"


def _is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_process_that_is_killed_gives_its_turn_back(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from brownout.run.turns import Turns\n"
        "with Turns(pathlib.Path(sys.argv[1])).taken(alone=True): print('alone', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path.cwd()
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"alone\n"
        assert _is_locked(tmp_path / "slot-0")
        other.kill()
    with Turns(tmp_path).taken(alone=True):
        pass


@pytest.mark.parametrize(
    ("promise", "soon"),
    [
        (p.loop_never_stalls("100ms"), True),
        (p.p99("/"), True),
        (p.answers({200}, within="900ms"), True),
        (p.must_show("stalled", under=p.loop_never_stalls("200ms")), True),
        (p.loop_never_stalls("1s"), False),
        (p.answers({200}, within="2s"), False),
        (p.at_least_once(), False),
        (p.must_show("lost", under=p.at_least_once(within="30s")), False),
    ],
    ids=str,
)
def test_what_has_a_bound_under_a_second_runs_alone(promise: Promise, soon: bool) -> None:
    assert measures_soon(Plan(promises=(p.drained(), promise))) is soon
