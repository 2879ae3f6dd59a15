"""The laws of design.md over every fault of a process: a real Celery worker, and a relay that ends by SIGTERM."""

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from brownout import faults
from brownout.faults.process import pool
from brownout.faults.strike import Strike, strike
from brownout.plan.fault import FAULTS, Fault
from brownout.subject.processes import table
from brownout.subject.subject import Subject
from brownout.subject.waiting import eventually
from brownout.wire.tcp.wire import Wire
from tests.kit.faults_subject import PATIENCE, direct, running

WITHIN = 30.0  # for a worker to start
Inject = Callable[[str, Fault], Strike]


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with Wire(seed=1) as wire, running(tmp_path_factory.mktemp("process"), wire, workers=1) as subject:
        yield subject


@pytest.fixture
def inject(subject: Subject) -> Iterator[Inject]:
    """Strike; what a failed test leaves on is healed."""
    struck: list[Strike] = []

    def inject(target: str, fault: Fault) -> Strike:
        struck.append(strike(subject, target, fault))
        return struck[-1]

    yield inject
    for hit in reversed(struck):
        hit.heal()


def state(pid: int) -> str:
    found = table.entry(pid)
    return found.state[:1] if found else ""


def consumes(subject: Subject) -> bool:
    """Its main process waits for messages, and its pool is there."""
    with direct(subject) as redis:
        waits = any(connection["cmd"] == "brpop" for connection in redis.client_list())
    return waits and bool(pool(subject.process("worker-1")))


def shown(hit: Strike) -> str:
    return eventually(hit.acted, within=WITHIN, what="there is evidence")


def test_every_fault_of_a_process_is_tried_here() -> None:
    tried = {"kill", "terminate", "cold_shutdown", "stop", "kill_child"}
    own = {name: kind for name, kind in FAULTS.items() if hasattr(faults, name)}  # not those of the chaos tests
    assert tried == {name for name, kind in own.items() if "worker" in kind.targets and not kind.wires}


@pytest.mark.parametrize(
    ("fault", "code"),
    [(faults.kill(), -signal.SIGKILL), (faults.terminate(), -signal.SIGTERM)],
    ids=["kill", "terminate"],
)
def test_the_very_process_ends_and_another_one_takes_its_place(
    subject: Subject, inject: Inject, fault: Fault, code: int
) -> None:
    old = subject.process("relay")
    hit = inject("relay", fault)
    assert shown(hit) == f"{old} ended with {code} after {'SIGKILL' if code == -9 else 'SIGTERM'}"
    hit.heal()
    new = subject.process("relay")
    hit.heal()
    assert subject.process("relay") is new is not old
    assert (old.alive, new.alive) == (False, True)


def test_a_kill_that_sends_no_signal_is_not_seen_to_act(
    subject: Subject, inject: Inject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not die is killed by the heal, so that the trial can go on; that is no evidence."""
    old = subject.process("relay")
    with monkeypatch.context() as broken:
        broken.setattr(old, "signal", lambda _: None)
        hit = inject("relay", faults.kill())
    assert hit.acted() == ""
    hit.heal()
    assert old.returncode == -signal.SIGKILL
    assert hit.acted() == ""


def test_a_worker_that_is_killed_comes_back(subject: Subject, inject: Inject) -> None:
    old = subject.process("worker-1")
    children = [child.pid for child in pool(old)]
    hit = inject("worker-1", faults.kill())
    assert shown(hit) == f"{old} ended with -9 after SIGKILL"
    hit.heal()
    assert not any(state(pid) not in ("", "Z") for pid in children)
    eventually(lambda: consumes(subject), within=WITHIN, what="it consumes")


def test_a_cold_shutdown_ends_a_worker_and_it_comes_back(subject: Subject, inject: Inject) -> None:
    old = subject.process("worker-1")
    hit = inject("worker-1", faults.cold_shutdown())
    assert shown(hit) == f"{old} ended with 0 after SIGQUIT"
    hit.heal()
    eventually(lambda: consumes(subject), within=WITHIN, what="it consumes")


def test_one_pool_process_is_killed_and_its_main_process_lives(subject: Subject, inject: Inject) -> None:
    main = subject.process("worker-1")
    (child,) = pool(main)
    with pytest.raises(LookupError, match=r"has 1 pool processes, so kill_child\(n=2\) has no target"):
        strike(subject, "worker-1", faults.kill_child(2))
    hit = inject("worker-1", faults.kill_child())
    assert shown(hit) == f"pool process {child.pid} of {main} has ended"
    hit.heal()
    hit.heal()
    (new,) = pool(main)
    assert (new.pid != child.pid, main.alive, subject.process("worker-1") is main) == (True, True, True)


@pytest.mark.parametrize("main_only", [False, True])
def test_it_stands_still_and_goes_on(subject: Subject, inject: Inject, main_only: bool) -> None:
    process = subject.process("worker-1")
    (child,) = pool(process)
    first = inject("worker-1", faults.stop(main_only))
    second = inject("worker-1", faults.stop(main_only))
    still = "1 processes" if main_only else f"{len(process.members())} processes"
    assert shown(first) == shown(second) == f"{still} of {process} are frozen"
    assert (state(process.pid), state(child.pid) == "T") == ("T", not main_only)
    for hit in (first, second, first):
        hit.heal()
        assert "T" not in (state(process.pid), state(child.pid))
    assert subject.process("worker-1") is process
    eventually(lambda: consumes(subject), within=WITHIN, what="it consumes")


def test_a_fault_holds_on_to_the_process_it_struck(subject: Subject, inject: Inject) -> None:
    """Its successor is never signalled by the heal, nor taken for evidence."""
    old = subject.process("relay")
    stopped = inject("relay", faults.stop())
    shown(stopped)
    killed = inject("relay", faults.kill())
    killed.heal()
    new = subject.process("relay")
    new.signal(signal.SIGSTOP)
    eventually(lambda: state(new.pid) == "T", within=PATIENCE, what="the new one stands still")
    stopped.heal()
    assert state(new.pid) == "T"
    new.signal(signal.SIGCONT)
    assert not old.alive


def test_who_has_ended_already_is_no_evidence(
    subject: Subject, inject: Inject, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, may_start = subject.supervisors["relay"], threading.Event()
    launch = keeper._launch
    monkeypatch.setattr(keeper, "_launch", lambda: may_start.wait() and launch())
    try:
        first = inject("relay", faults.kill())
        shown(first)
        later = [inject("relay", fault) for fault in (faults.kill(), faults.terminate(), faults.stop())]
        assert [hit.acted() for hit in later] == ["", "", ""]
    finally:
        may_start.set()
    for hit in (*later, first):
        hit.heal()
    assert [hit.acted() for hit in later] == ["", "", ""]
    assert subject.process("relay").alive


def test_who_ignores_sigterm_is_killed_when_his_grace_is_over(subject: Subject, inject: Inject) -> None:
    old = subject.process("relay")
    stopped = inject("relay", faults.stop())  # a stopped process acts on no SIGTERM
    shown(stopped)
    hit = inject("relay", faults.terminate("100ms"))
    assert hit.acted() == ""
    hit.heal()
    assert hit.acted() == f"{old} ended with -9 after SIGTERM"
    assert subject.process("relay").alive


def test_a_supervisor_that_gave_up_is_an_error_of_the_harness(tmp_path: Path) -> None:
    with Wire() as wire, running(tmp_path, wire) as subject:
        subject.supervisors["relay"]._budget = 0
        hit = strike(subject, "relay", faults.kill())
        with pytest.raises(RuntimeError, match="the restart limit is 0"):
            hit.heal()
