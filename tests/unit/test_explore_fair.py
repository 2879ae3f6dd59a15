"""Fair time: what is taken off the wall time, on a clock of paper."""

import asyncio
import threading
from collections.abc import Iterable

import pytest

from brownout.explore.fair import FairTime


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


def test_a_loop_that_is_late_and_a_thread_that_waits_are_the_same_time(paper: Paper) -> None:
    assert paper.look(1.0, late=0.3, own=0.2) == pytest.approx(0.7)
    assert paper.look(1.0, late=0.1, own=0.4) == pytest.approx(1.3)


def test_a_machine_that_stands_still_ends_no_wait(paper: Paper) -> None:
    """Ten seconds without a CPU are no reason to say that something did not come within one."""
    asked = 0

    async def work() -> str:
        nonlocal asked
        while asked < 3:
            asked += 1
            paper.now += 10
            paper.waited[1] = 10.0
            await asyncio.sleep(0.05)
        return "done"

    assert asyncio.run(paper.fair.within(1.0, work(), "it is done")) == "done"


def test_a_wait_ends_in_fair_time_and_cancels_what_it_waited_for(paper: Paper) -> None:
    cancelled = []

    async def work() -> None:
        paper.now += 2
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(TimeoutError, match="not within 1 s: it is done"):
        asyncio.run(paper.fair.within(1.0, work(), "it is done"))
    assert cancelled == [True]
