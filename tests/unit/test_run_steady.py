"""A warm-up that fails: what a busy machine may have done is told apart from what the application did."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from brownout.history.event import Event
from brownout.history.life import WARM, Life
from brownout.plan.operation import Call, Http, Operation
from brownout.run.phases.steady import STARVED, Steady
from brownout.subject.application import Unusable
from brownout.subject.waiting import NeverHappened


class Moving:
    """Fair time that goes on by a tenth of a second at each look."""

    def __init__(self, starved: float) -> None:
        self.starved, self.now = starved, 0.0

    def look(self, _: float = 0.0) -> float:
        self.now += 0.1
        return self.now


def steady(
    *told: Event, starved: float = 0.0, queue: str = "", status: str | None = None, within: float = 3.0
) -> Steady:
    """The events come with the warm-up's call; then its message lies in `queue`."""
    life = Life(by_effect=False)
    places = {TASK: queue} if queue else {}
    sample = Event(2, "broker", "sample", data={"by_task": places})
    observer = SimpleNamespace(look=lambda: None, sample=lambda **_: sample)
    clients = SimpleNamespace(call=lambda *_: life.see(told))
    subject = SimpleNamespace(tails=lambda: "", application=SimpleNamespace(status=status))
    parts: list[Any] = [subject, observer, clients, None, Moving(starved), life]
    make: Any = Steady
    made: Steady = make(*parts, ["worker-1"], ["celery", "slow"], within)
    return made


TASK = "5da7"
SENT = Event(1, "client", "ok", key=WARM, task=TASK)
READ = Event(1, "client", "read", key=WARM, task=TASK, data={"state": "SUCCESS"})
ENDED = Event(2, "worker-1", "ended", task=TASK, data={"state": "SUCCESS"})
FAILED = Event(2, "worker-1", "failed", task=TASK, data={"error": "ValueError"})
IGNORING = Call("tasks.work", result=False)
REQUEST = Http("POST", "/jobs")


def failure(**data: str) -> Event:
    return Event(1, "client", "read", key=WARM, task=TASK, data={"state": "FAILURE", **data})


def test_a_warm_up_that_succeeds_is_over() -> None:
    steady(SENT, READ, starved=9.0)._warm(Call("tasks.work"))


@pytest.mark.parametrize("warm", [IGNORING, REQUEST], ids=str)
def test_where_no_result_can_be_read_the_end_of_the_task_counts(warm: Operation) -> None:
    made = steady(SENT, ENDED)
    made._warm(warm)
    assert made.took > 0
    with pytest.raises(
        Unusable, match=r"^POST /jobs did not end within 3 s without a fault; wait longer with --warm-up 9$"
    ):
        steady(SENT, ENDED, status="/jobs/{task}")._warm(REQUEST)


@pytest.mark.parametrize(("starved", "kind"), [(0.0, Unusable), (STARVED + 0.1, NeverHappened)])
def test_a_failure_proves_something_only_when_its_processes_had_a_cpu(starved: float, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"^call tasks.work fails without a fault: its state is FAILURE: None"):
        steady(failure(), starved=starved)._warm(Call("tasks.work"))
    with pytest.raises(Unusable, match="ValueError"):
        steady(failure(error="ValueError: no"), starved=starved)._warm(Call("tasks.work"))
    with pytest.raises(kind, match="WorkerLostError"):
        steady(failure(error="WorkerLostError: signal 9 (SIGKILL)"), starved=starved)._warm(Call("tasks.work"))
    prematurely = "WorkerLostError: Worker exited prematurely: exitcode 3."
    with pytest.raises(Unusable, match="WorkerLostError"):
        steady(failure(error=prematurely), starved=starved)._warm(Call("tasks.work"))
    with pytest.raises(Unusable, match=r"did not end within 3 s without a fault; wait longer with --warm-up 9"):
        steady(SENT, starved=starved)._warm(Call("tasks.work"))


@pytest.mark.parametrize(
    ("told", "warm", "why"),
    [
        ((failure(error="TypeError: add() takes 2"),), Call("own.add"), "TypeError: add() takes 2"),
        ((SENT, FAILED), IGNORING, "ValueError"),
        (
            (Event(1, "client", "fail", key=WARM, data={"status": 422, "body": "no\nfield"}),),
            REQUEST,
            "answered 422: no field",
        ),
    ],
)
def test_why_it_does_not_work_is_one_line(told: tuple[Event, ...], warm: Operation, why: str) -> None:
    with pytest.raises(Unusable) as caught:
        steady(*told)._warm(warm)
    assert str(caught.value).startswith(f"{warm} fails without a fault: {why}; ")
    assert "\n" not in str(caught.value)


def test_a_message_in_a_queue_that_the_worker_does_not_read_is_reported_as_that() -> None:
    """It is not lost, and waiting longer does not help."""
    with pytest.raises(
        Unusable, match="its message lies in queue fast, and the worker reads celery, slow; start the worker with -Q"
    ):
        steady(SENT, queue="fast", within=1e6)._warm(Call("tasks.work"))
    for queue in ("slow", "unacked"):
        with pytest.raises(Unusable, match="did not end within 3 s"):
            steady(SENT, queue=queue)._warm(Call("tasks.work"))
