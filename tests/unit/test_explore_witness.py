"""The witness of a cell: what is said again and again is one line, and the last lines say where the task is."""

from brownout.explore.witness import lines
from brownout.history.event import Event
from brownout.history.life import Life
from brownout.history.view import History
from brownout.run.trace import Trace
from tests.unit.lives import TASK, at


def witness(*more: Event) -> list[str]:
    """The lines of an operation that is accepted and whose status is read three times, without their times."""
    asked = at(10, "client", "invoke", "op-1", op="http", effects=["op-1"])
    accepted = at(20, "client", "ok", "op-1", task=TASK, op="http", tasks=[TASK])
    reads = [at(ms, "client", "read", "op-1", task=TASK, state="PENDING") for ms in (30, 40, 50)]
    events = [asked, accepted, *reads, *more]
    history = History(events)
    return [" ".join(line.split()[2:]) for line in lines(history, Life.of(events), Trace(), str)]


def test_reads_that_say_the_same_are_one_line() -> None:
    assert witness() == ["client submits", "client accepted", "client reads PENDING (3 times, until +0.040 s)"]


def test_a_read_that_says_something_else_is_a_line_of_its_own() -> None:
    assert witness(at(60, "client", "read", "op-1", task=TASK, state="STARTED"))[2:] == [
        "client reads PENDING (3 times, until +0.040 s)",
        "client reads STARTED",
    ]


def test_who_published_the_task_and_where_it_is_at_the_end() -> None:
    told = witness(
        at(25, "api", "publish", "op-1", task=TASK, to="celery"),
        at(26, "relay", "publish", task="another task", to="celery"),
        at(90, "broker", "sample", queues={"celery": 0}, unacked=0, by_task={}),
        at(95, "store", "row", task=TASK, state="PENDING", outbox=None),
        at(95, "store", "row", task="another task", state="SUCCESS"),
    )
    assert "api publishes to celery" in told
    assert told[-2:] == ["end store state PENDING", "end broker the message is in no queue, and it is not unacked"]
    there = witness(at(90, "broker", "sample", queues={"celery": 1}, unacked=0, by_task={TASK: "celery"}))
    assert there[-1] == "end broker the message is in celery"
