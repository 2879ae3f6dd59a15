"""The laws of design.md over every fault of the network, on the built-in wire and on Toxiproxy."""

import itertools
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brownout import faults
from brownout.check.promises import faults_acted
from brownout.check.registry import judge
from brownout.faults.strike import strike
from brownout.faults.traffic import carried
from brownout.history.view import History
from brownout.plan.fault import FAULTS, Fault
from brownout.plan.plan import Injection
from brownout.plan.trigger import at
from brownout.probes.recorder import Recorder
from brownout.run.nemesis import Nemesis
from brownout.subject.servers import toxiproxy_server
from brownout.subject.subject import Subject
from brownout.subject.waiting import eventually
from brownout.wire.interface import AnyEdge
from brownout.wire.tcp.edge import Edge
from brownout.wire.tcp.wire import Wire
from brownout.wire.toxiproxy.adapter import ToxiproxyWire
from tests.kit.faults_subject import LATE, PATIENCE, PONG, SILENCE, Line, running

EDGE, IDLE = "relay->broker", "relay->backend"
#: What a connection from before, and one from after the strike, get for an answer.
CASES: dict[str, tuple[Fault, set[str], set[str]]] = {
    "refuse": (faults.refuse(), {"closed", "reset"}, {"refused"}),
    "cut": (faults.cut(), {"closed", "reset"}, {"+PONG"}),
    "reset": (faults.reset(), {"reset"}, {"+PONG"}),
    "flap": (faults.flap(1, "1m", "0s"), {"closed", "reset"}, {"refused"}),
    "blackhole": (faults.blackhole(), {"silent"}, {"silent"}),
    "vanish": (faults.vanish(), {"silent"}, {"silent"}),
    "half_open": (faults.half_open(), {"silent"}, {"+PONG"}),
    "latency": (faults.latency(LATE), {"late"}, {"late"}),
    "spike": (faults.spike(LATE), {"late"}, {"+PONG"}),
    "bandwidth": (faults.bandwidth(0), {"silent"}, {"silent"}),
    "slow_close": (faults.slow_close(LATE), {"+PONG"}, {"+PONG"}),
    "slicer": (faults.slicer(1, "50ms"), {"late"}, {"late"}),
    "limit_data": (faults.limit_data(3), {"closed", "reset"}, {"closed", "reset"}),
    "reset_peer": (faults.reset_peer(), {"closed", "reset"}, {"closed", "reset"}),
}


@pytest.fixture(scope="module", params=["builtin", "toxiproxy"])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    folder = tmp_path_factory.mktemp("network")
    wire: Wire | ToxiproxyWire
    if request.param == "builtin":
        wire = Wire(seed=1).start()
    elif shutil.which("toxiproxy-server") is None:
        pytest.skip("no toxiproxy-server on PATH")
    else:
        wire = toxiproxy_server.started(folder / "toxiproxy.log")
    with wire, running(folder, wire) as subject:
        yield subject


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest, subject: Subject) -> str:
    name: str = request.param
    if subject.wire.kind not in FAULTS[name].wires:
        with pytest.raises(LookupError, match="needs the builtin wire; the wire of this trial is toxiproxy"):
            strike(subject, EDGE, CASES[name][0])
        pytest.skip("only the built-in wire can do it")
    return name


def hung_up(line: Line) -> float:
    """Seconds from QUIT to the end of the connection, which Redis closes."""
    begin = time.monotonic()
    assert line.ask(request=b"QUIT\r\n") == "+OK"
    assert line.sock
    assert line.sock.recv(1) == b""
    return time.monotonic() - begin


def test_every_fault_that_needs_a_wire_is_tried_here() -> None:
    """Those that strike only at a point are tried in test_faults_points.py."""
    assert CASES.keys() == {name for name, kind in FAULTS.items() if kind.wires and not kind.needs_point}


def test_it_acts_leaves_evidence_and_heals(subject: Subject, name: str) -> None:
    fault, old, new = CASES[name]
    port = subject.edges[EDGE].port
    with Line(port) as before, Line(port) as ending:
        assert before.ask() != "silent"
        assert ending.ask() != "silent"
        hit = strike(subject, EDGE, fault)
        if name == "flap":  # its thread is not waited for by the strike
            eventually(hit.acted, within=PATIENCE, what="it flaps")
        assert before.answers(old, SILENCE if "silent" in old else PATIENCE)
        with Line(port) as after:
            assert after.answers(new, SILENCE if "silent" in new else PATIENCE)
        if name == "slow_close":
            assert hung_up(ending) >= LATE * 0.9
        evidence = eventually(hit.acted, within=PATIENCE, what="there is evidence")
        assert EDGE in evidence
        hit.heal()
        hit.heal()
        if name == "blackhole":  # the very bytes that were held come out
            assert before.sock
            assert before.sock.recv(100) == PONG
            assert before.ask() in {"+PONG", "late"}
        assert hit.acted() == evidence
    with Line(port) as healed:
        assert healed.ask() in {"+PONG", "late"}
        assert healed.ask(request=b"ECHO abc\r\n") == "$3"


def idle(edge: AnyEdge) -> bool:
    """Whether no connection is left; of Toxiproxy, the kernel is asked."""
    if isinstance(edge, Edge):
        counters = edge.counters
        return counters.connected == counters.closed
    return not carried(edge.port)


def test_nothing_met_nothing_shown_and_twice_is_once(subject: Subject, name: str) -> None:
    fault = CASES[name][0]
    edge = subject.edges[IDLE]
    eventually(lambda: idle(edge), within=PATIENCE, what="the connections of the test before have ended")
    first = strike(subject, IDLE, fault)
    once = edge.toxics
    second = strike(subject, IDLE, fault)
    assert edge.toxics == once
    first.heal()
    second.heal()
    second.heal()
    assert (first.acted(), second.acted()) == ("", "")
    assert (edge.toxics, edge.enabled) == ((), True)
    with Line(edge.port) as line:
        assert line.ask() in {"+PONG", "late"}


def test_a_service_and_a_process_mean_all_their_edges(subject: Subject) -> None:
    for target, expected in {
        "broker": {"client->broker", "relay->broker"},
        "backend": {"relay->backend"},
        "relay": {"relay->broker", "relay->backend"},
    }.items():
        hit = strike(subject, target, faults.refuse())
        assert {name for name, edge in subject.edges.items() if not edge.enabled} == expected
        hit.heal()
    assert all(edge.enabled for edge in subject.edges.values())
    with pytest.raises(LookupError, match="no edge is called 'worker-1->broker'; known: client->broker"):
        strike(subject, "worker-1->broker", faults.refuse())


def test_a_cut_does_not_open_what_another_fault_has_shut(subject: Subject) -> None:
    shut = strike(subject, EDGE, faults.refuse())
    strike(subject, EDGE, faults.cut()).heal()
    assert not subject.edges[EDGE].enabled
    shut.heal()
    assert subject.edges[EDGE].enabled


def test_no_connection_is_refused_during_a_cut(subject: Subject) -> None:
    edge, tried, refused, over = subject.edges[EDGE], itertools.count(), list[str](), threading.Event()
    newest = 0

    def attempt() -> None:
        nonlocal newest
        while not over.is_set():
            newest = next(tried)
            with Line(edge.port) as line:
                line.ask()  # so that they do not come faster than the wire takes them
                refused.extend(each for each in [line.failed] if each)

    thread = threading.Thread(target=attempt)
    thread.start()
    try:
        for _ in range(5):
            with Line(edge.port) as line:
                assert line.ask() in {"+PONG", "late"}
                assert EDGE in strike(subject, EDGE, faults.cut()).acted()
                assert line.answers({"closed", "reset"})
            before = newest
            eventually(lambda: newest > before + 2, within=PATIENCE, what="more connections were tried")  # noqa: B023
    finally:
        over.set()
        thread.join()
    assert not refused


def test_it_flaps_as_often_as_it_says_and_ends_with_its_heal(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    port, seen = subject.edges[EDGE].port, list[bool]()

    def looked_at(change: Callable[[AnyEdge], None]) -> Callable[[AnyEdge], None]:
        def run(edge: AnyEdge) -> None:
            change(edge)
            with Line(port) as line:
                seen.append(line.sock is not None)

        return run

    with monkeypatch.context() as observed:
        kind = type(subject.edges[EDGE])
        observed.setattr(kind, "down", looked_at(kind.down))
        observed.setattr(kind, "up", looked_at(kind.up))
        hit = strike(subject, EDGE, faults.flap(2, "20ms", "20ms"))
        eventually(lambda: len(seen) == 4, within=PATIENCE, what="it was down twice", evidence=lambda: str(seen))
        hit.heal()
    assert seen == [False, True, False, True, True]  # the last one is the heal's
    early = strike(subject, EDGE, faults.flap(1_000, "20ms", "20ms"))
    early.heal()
    with Line(port) as line:
        assert line.ask() in {"+PONG", "late"}
        assert line.ask() in {"+PONG", "late"}


def test_evidence_counts_that_nobody_asked_for_before_the_heal(subject: Subject) -> None:
    with Line(subject.edges[EDGE].port) as line:
        hit = strike(subject, EDGE, faults.latency(LATE))
        assert line.ask() == "late"
        hit.heal()
        assert EDGE in hit.acted()


def test_a_thread_that_failed_is_told_by_the_heal(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: object) -> None:
        raise OSError("the wire is gone")

    with monkeypatch.context() as broken:
        broken.setattr(type(subject.edges[EDGE]), "down", gone)
        hit = strike(subject, EDGE, faults.flap())
        with pytest.raises(OSError, match="gone"):
            hit.heal()
    hit.heal()
    assert subject.edges[EDGE].enabled


def test_a_wire_that_fails_is_not_kept_secret(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    hit = strike(subject, EDGE, faults.refuse())

    def gone(_: object) -> None:
        raise OSError("the wire is gone")

    with monkeypatch.context() as broken:
        broken.setattr(type(subject.edges[EDGE]), "up", gone)
        with pytest.raises(OSError, match="gone"):
            hit.heal()
    assert not subject.edges[EDGE].enabled
    hit.heal()
    assert subject.edges[EDGE].enabled


def test_a_reset_is_one_by_its_errno(subject: Subject) -> None:
    if subject.wire.kind != "builtin":
        pytest.skip("only the built-in wire can do it")
    with socket.create_connection(("127.0.0.1", subject.edges[EDGE].port), timeout=PATIENCE) as idle:
        idle.sendall(b"PING\r\n")
        assert idle.recv(100) == PONG
        hit = strike(subject, EDGE, faults.reset())
        with pytest.raises(ConnectionResetError):
            idle.recv(100)
        assert hit.acted() == f"{EDGE}: 1 connections reset"


def test_a_heal_that_forgets_one_edge_makes_the_schedule_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault is healed by its own account, and goes on acting on that edge."""
    seen = tmp_path / "seen"
    recorder = Recorder(seen, "wire")

    def told(kind: str, data: dict[str, Any]) -> None:
        recorder.record(kind, **data)

    with Wire(seed=1, on_event=told) as wire, running(tmp_path, wire) as mine:
        nemesis = Nemesis([Injection(faults.latency(LATE), "broker", at(0))], mine, Recorder(seen, "nemesis"))
        nemesis.act()
        with monkeypatch.context() as broken:
            broken.setattr(mine.edges[EDGE], "remove", lambda _: False)
            nemesis.heal()
        for edge, answer in (("client->broker", "+PONG"), (EDGE, "late")):
            with Line(mine.edges[edge].port) as line:
                assert line.answers({answer}), edge
    verdict = judge(History.load(seen), faults_acted())
    assert verdict.validity == "unknown"
    assert f"the toxic 'latency(delay=0.2) on' on {EDGE} was never removed: a mistake of the harness" in verdict.why
    assert "client->broker" not in verdict.why
