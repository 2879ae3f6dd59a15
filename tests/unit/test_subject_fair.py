"""Fair time: what is taken off the wall time, on a clock of paper."""

import os
import threading
import time
from collections.abc import Iterable

import pytest

from brownout.subject.fair import FairTime


class Paper:
    """A clock and the run delays of processes."""

    def __init__(self) -> None:
        self.now, self.waited = 100.0, dict[int, float]()  # s
        self.fair = FairTime(lambda: (1, 2), clock=lambda: self.now, delays=self)

    def take(self, pids: Iterable[int]) -> dict[int, int]:
        taken = {pid: int(self.waited.get(pid, 0.0) * 1e9) for pid in pids}
        self.waited.clear()
        return taken

    def look(self, passed: float, late: float = 0.0, **waited: float) -> float:
        """After so much wall time, in which processes 1 (`one`) and 2 (`two`) and this thread (`own`) waited."""
        self.now += passed
        pids = {"one": 1, "two": 2, "own": threading.get_native_id()}
        self.waited = {pids[name]: seconds for name, seconds in waited.items()}
        return self.fair.look(late)


@pytest.fixture
def paper() -> Paper:
    made = Paper()
    made.fair.look()
    return made


def test_on_an_idle_machine_it_is_wall_time(paper: Paper) -> None:
    assert paper.look(1.0) == pytest.approx(1.0)
    assert paper.look(0.5) == pytest.approx(1.5)


def test_waiting_of_all_processes_is_taken_off(paper: Paper) -> None:
    assert paper.look(1.0, one=0.2, two=0.1) == pytest.approx(0.7)
    assert paper.fair.starved == pytest.approx(0.3)


def test_no_more_than_the_time_itself_is_taken_off(paper: Paper) -> None:
    assert paper.look(1.0, one=0.8, two=0.8) == pytest.approx(0.0)
    assert paper.look(1.0) == pytest.approx(1.0), "what was too much is not taken off later"


def test_a_caller_that_wakes_late_and_a_thread_that_waits_are_the_same_time(paper: Paper) -> None:
    assert paper.look(1.0, late=0.3, own=0.2) == pytest.approx(0.7)
    assert paper.look(1.0, late=0.1, own=0.4) == pytest.approx(1.3)


def test_a_machine_that_stands_still_ends_no_wait(paper: Paper) -> None:
    """Ten seconds without a CPU are no reason to say that something did not come within one."""
    begun = paper.fair.seconds
    for _ in range(3):
        assert paper.look(10.0, one=10.0) - begun < 1.0
    assert paper.fair.starved == pytest.approx(30.0)


def test_the_first_look_counts_nothing_and_what_was_waited_before_is_nobodys() -> None:
    paper = Paper()
    assert paper.look(50.0, one=5.0) == 0.0
    assert paper.look(1.0) == pytest.approx(1.0)


def test_the_processes_are_asked_for_at_each_look() -> None:
    """Pool processes come and go while a trial runs."""
    paper, there = Paper(), [1]
    paper.fair = FairTime(lambda: there, clock=lambda: paper.now, delays=paper)
    paper.look(0.0)
    assert paper.look(1.0, two=0.5) == pytest.approx(1.0)
    there.append(2)
    assert paper.look(1.0, two=0.5) == pytest.approx(1.5)


def test_it_takes_the_real_waiting_of_real_processes() -> None:
    fair = FairTime(lambda: (os.getpid(),))
    assert fair.look() == 0.0
    begun = time.monotonic()
    while time.monotonic() - begun < 0.02:
        pass
    passed = fair.look()
    assert 0.0 <= passed <= time.monotonic() - begun + 0.001
    assert fair.starved >= 0.0
