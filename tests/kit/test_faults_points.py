"""Faults at a point of the wire: the message there is struck at once, or is kept until a fault elsewhere has struck."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brownout import faults
from brownout.history.tail import Tail
from brownout.plan.fault import FAULTS, Fault
from brownout.plan.plan import Injection
from brownout.plan.point import Moment
from brownout.plan.trigger import Trigger, point
from brownout.probes.recorder import Recorder
from brownout.run.nemesis import Nemesis
from brownout.run.points import Points, gone
from brownout.subject.subject import Subject
from brownout.subject.waiting import eventually
from brownout.wire.tcp.edge import Edge
from brownout.wire.tcp.wire import Wire
from tests.kit.faults_subject import PATIENCE, SILENCE, Line, direct, running

EDGE = "relay->broker"
INCR, NOTHING = b"INCR n\r\n", b""
TOLD: list[tuple[str, dict[str, Any]]] = []  # by the wire


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    folder = tmp_path_factory.mktemp("points")
    with Wire(seed=1, on_event=lambda *told: TOLD.append(told)) as wire, running(folder, wire, workers=1) as subject:
        yield subject


class Bench:
    """A nemesis with one injection, on a subject whose relay is played by the test."""

    def __init__(self, subject: Subject, folder: Path, injection: Injection) -> None:
        assert isinstance(subject.wire, Wire)
        TOLD.clear()
        self.subject, self.points = subject, Points(subject.wire)
        for edge in subject.edges.values():
            self.points.direct(edge)
        self._tail = Tail(folder / "history")
        self.nemesis = Nemesis([injection], subject, Recorder(folder / "history", "nemesis"), self.points)
        self.points.arm()
        with direct(subject) as redis:
            redis.delete("n")

    @property
    def line(self) -> Line:
        """A new connection of the relay."""
        return Line(self.subject.edges[EDGE].port)

    def until_struck(self) -> None:
        def struck() -> bool:
            self.nemesis.act()
            return not self.nemesis.waiting

        eventually(struck, within=PATIENCE, what="the fault strikes")

    def told(self) -> dict[str, dict[str, Any]]:
        return {event.kind: dict(event.data) for event in self._tail.poll()}

    def executed(self) -> int:
        with direct(self.subject) as redis:
            return int(str(redis.get("n") or 0))

    def calls(self, command: str) -> int:
        with direct(self.subject) as redis:
            return int(redis.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


class Opened:
    """Opens benches, and heals what a test leaves on."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self._subject, self._folder = subject, folder
        self.benches: list[Bench] = []

    def __call__(self, fault: Fault, when: Trigger, on: str = "", heal: Trigger | None = None) -> Bench:
        injection = Injection(fault, on or when.data["edge"], when, heal)
        injection.check(self._subject.topology)
        self.benches.append(Bench(self._subject, self._folder, injection))
        return self.benches[-1]


@pytest.fixture
def open_bench(subject: Subject, tmp_path: Path) -> Iterator[Opened]:
    opened = Opened(subject, tmp_path)
    yield opened
    for bench in opened.benches:
        bench.nemesis.heal()
    for edge in subject.edges.values():
        assert isinstance(edge, Edge)
        edge.direct(None)


CASES: list[tuple[Fault, Moment, str, int, str, int]] = [
    # fault, moment, what the client sees, INCRs executed; and both when it has healed
    (faults.cut(), "before", "closed", 0, "closed", 0),
    (faults.cut(), "after", "closed", 1, "closed", 1),
    (faults.reset(), "before", "reset", 0, "closed", 0),
    (faults.reset(), "after", "reset", 1, "closed", 1),
    (faults.hold(), "before", "silent", 0, ":1", 1),
    (faults.hold(), "after", "silent", 1, ":1", 1),
    (faults.lose_reply(), "after", "silent", 1, "closed", 1),
    (faults.tear_reply(), "after", "closed", 1, "closed", 1),
    (faults.error_reply("oom"), "before", "-OOM", 0, "silent", 0),
]


def test_every_fault_at_a_point_is_tried_here() -> None:
    assert {(fault.name, moment) for fault, moment, *_ in CASES} == {
        (name, moment)
        for name in (kind.name for kind in FAULTS.values() if kind.strike_there)
        for moment in faults_moments(name)
    }


def faults_moments(name: str) -> tuple[Moment, ...]:
    return Fault(name).kind.moments


@pytest.mark.parametrize(
    ("fault", "moment", "seen", "done", "then", "done_then"), CASES, ids=[f"{f.name}-{m}" for f, m, *_ in CASES]
)
def test_it_strikes_the_very_message(
    open_bench: Opened, fault: Fault, moment: Moment, seen: str, done: int, then: str, done_then: int
) -> None:
    bench = open_bench(fault, point(EDGE, "INCR", nth=2, moment=moment))
    with bench.line as line, bench.line as other:
        assert other.ask(request=b"INCR other\r\n").startswith(":")
        assert "fault-start" not in bench.told()
        assert line.ask(SILENCE if seen == "silent" else PATIENCE, INCR) == seen
        assert (bench.executed(), other.ask()) == (done, "+PONG")
        bench.nemesis.act()
        told = bench.told()
        assert told["fault-start"]["point"] == f"{EDGE}/INCR n#1"
        assert "INCR n on relay->broker" in told["fault-acted"]["evidence"]
        assert "fault-stop" not in told
        for _ in range(2):
            bench.nemesis.heal()
        assert "fault-stop" in bench.told()
        assert line.ask(SILENCE if then == "silent" else PATIENCE, NOTHING) in (then, "reset")
        assert bench.executed() == done_then
        assert other.ask() == "+PONG"
    (reached,) = [data for kind, data in TOLD if kind == "point"]
    assert reached == {"edge": EDGE, "command": "INCR", "nth": 2, "moment": moment, "reached": f"{EDGE}/INCR n#1"}


def test_unarmed_it_changes_nothing_and_the_points_that_came_are_told(open_bench: Opened) -> None:
    bench = open_bench(faults.hold(), point(EDGE, "INCRBY"))
    with bench.line as line:
        assert [line.ask(request=INCR) for _ in range(2)] == [":1", ":2"]
        bench.nemesis.act()
        bench.nemesis.heal()
        (missed,) = bench.nemesis.missed()
        assert missed.startswith(f"hold() on {EDGE} never struck: point {EDGE} INCRBY #1 before was not reached (0 ")
        assert f"points reached: {EDGE} INCR n before x2, {EDGE} INCR n after x2" in missed
        assert bench.told() == {}
        assert line.ask(request=b"INCRBY n 1\r\n") == ":3"  # too late to strike: it would never heal


def test_a_request_that_is_held_reaches_the_server_although_its_client_has_left(open_bench: Opened) -> None:
    bench = open_bench(faults.hold(), point(EDGE, "INCR"))
    with bench.line as line:
        assert line.ask(SILENCE, INCR) == "silent"
    assert bench.executed() == 0
    bench.nemesis.act()
    bench.nemesis.heal()
    eventually(lambda: bench.executed() == 1, within=PATIENCE, what="it is executed")


def test_half_of_a_reply_comes(open_bench: Opened) -> None:
    bench = open_bench(faults.tear_reply(), point(EDGE, "GET", moment="after"))
    with direct(bench.subject) as redis:
        redis.set("text", "0123456789")
    with bench.line as line:
        sock = line.sock
        assert sock
        sock.sendall(b"GET text\r\n")
        came = b"".join(iter(lambda: sock.recv(4096), b""))
    assert came == b"$10\r\n0123"[: len(came)]
    assert len(came) == len(b"$10\r\n0123456789\r\n") // 2


@pytest.mark.parametrize(
    ("state", "request_", "answer"),
    [("maxclients", b"HELLO 3\r\n", "-ERR"), ("noauth", b"HELLO 3\r\n", "-NOAUTH"), ("loading", INCR, "-LOADING")],
)
def test_the_reply_is_that_of_a_server_in_this_state(
    open_bench: Opened, state: str, request_: bytes, answer: str
) -> None:
    bench = open_bench(faults.error_reply(state), point(EDGE, request_.split()[0].decode()))
    with bench.line as line:
        assert line.ask(request=request_) == answer
        assert line.ask() in ({"closed", "reset"} if state == "maxclients" else {"+PONG"})


@pytest.mark.parametrize(("state", "request_"), [("oom", b"GET n\r\n"), ("noauth", INCR)])
def test_a_reply_that_no_server_gives_is_an_error_and_the_request_passes(
    open_bench: Opened, state: str, request_: bytes
) -> None:
    bench = open_bench(faults.error_reply(state), point(EDGE, request_.split()[0].decode()))
    with bench.line as line:
        assert line.ask(request=request_)[0] in ":$"
    with pytest.raises(LookupError, match=f"Redis in state {state} does not refuse"):
        bench.nemesis.act()


def test_a_process_is_gone_when_it_has_ended_although_nobody_has_asked_for_its_exit_code() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    pids = frozenset({process.pid})
    assert not gone(pids)
    process.kill()
    eventually(lambda: gone(pids), within=PATIENCE, what="it is a zombie")
    process.communicate()
    assert gone(pids)


# --- any other fault, while the message is kept


def test_nothing_else_passes_until_the_fault_has_struck(open_bench: Opened) -> None:
    bench = open_bench(faults.blackhole(stream="downstream"), point(EDGE, "INCR", moment="after"))
    with bench.line as line, bench.line as other:
        assert other.ask() == "+PONG"
        assert line.ask(SILENCE, INCR) == "silent"
        assert other.ask(SILENCE) == "silent"
        calls = bench.calls("ping")
        bench.until_struck()  # and from here on the toxic holds the replies
        eventually(lambda: bench.calls("ping") > calls, within=PATIENCE, what="the other request passes")
        assert line.ask(SILENCE, NOTHING) == "silent"
        bench.nemesis.heal()
        assert (line.ask(request=NOTHING), other.ask(request=NOTHING)) == (":1", "+PONG")


def test_toxics_work_on_an_edge_that_has_a_conductor(open_bench: Opened) -> None:
    bench = open_bench(faults.latency("300ms"), point(EDGE, "INCR"))
    with bench.line as line:
        assert line.answers({"+PONG"})
        line.sock.sendall(INCR)  # type: ignore[union-attr]
        bench.until_struck()
        assert line.ask(request=NOTHING) == ":1"
        assert line.took.wall >= 0.2
        assert line.ask() == "late"
        bench.nemesis.heal()
        assert line.answers({"+PONG"})


def test_what_was_reached_when_the_load_was_over_passes_unstruck(open_bench: Opened) -> None:
    bench = open_bench(faults.refuse(), point(EDGE, "INCR"))
    with bench.line as line, bench.line as other:
        assert line.ask(SILENCE, INCR) == "silent"
        bench.nemesis.heal()
        assert (line.ask(request=NOTHING), other.ask()) == (":1", "+PONG")
        assert "never struck" in bench.nemesis.missed()[0]


@pytest.mark.parametrize(("moment", "executed"), [("before", 0), ("after", 1)])
def test_the_broker_is_killed_at_a_point(open_bench: Opened, moment: Moment, executed: int) -> None:
    bench = open_bench(faults.kill(), point(EDGE, "INCR", moment=moment), on="broker")
    with bench.line as line:
        assert line.ask(SILENCE, INCR) == "silent"
        bench.until_struck()
        assert line.ask(request=NOTHING) in ("closed", "reset")
        bench.nemesis.heal()
        assert bench.executed() == executed
    assert "fault-stop" in bench.told()


@pytest.mark.parametrize("fault", [faults.kill(), faults.kill_child()], ids=str)
def test_a_message_of_a_process_that_was_killed_goes_no_further(open_bench: Opened, fault: Fault) -> None:
    """A BRPOP is the main process's: it goes on when only a pool process was killed."""
    bench = open_bench(fault, point("worker->broker", "BRPOP", nth=2), on="worker-1")
    bench.subject.edges["worker-1->broker"].cut()  # the conductor knows connections that come after it
    eventually(lambda: bench.nemesis._hits, within=30.0, what="a BRPOP comes")
    (_, hit, _) = bench.nemesis._hits[0]
    sent: list[bytes] = []
    hit.passage.link.up.send = sent.append
    bench.until_struck()
    assert hit.request
    if fault == faults.kill():
        eventually(lambda: hit.passage.link.over, within=PATIENCE, what="Redis has closed its end, too")
        assert sent == []
    else:
        assert sent == [hit.request.raw]
        assert not hit.passage.link.over
    bench.nemesis.heal()
