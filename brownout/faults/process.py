"""Faults of processes: what a signal does. With the target "broker" they strike Redis itself."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from signal import SIGCONT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM, Signals

import psutil

from brownout.faults.lasting import lasting
from brownout.faults.server import end_broker, pause_broker
from brownout.faults.strike import Strike, Striker, strikes
from brownout.plan.duration import Duration, seconds
from brownout.plan.fault import Fault, fault
from brownout.subject import table
from brownout.subject.process import Process
from brownout.subject.subject import Subject
from brownout.subject.waiting import NeverHappened, eventually

TARGETS = frozenset({"worker", "api", "relay", "beat", "client", "broker"})
BY_SUPERVISOR = "its supervisor starts it again; the broker starts again with its data"
AGAIN_WITHIN = 20.0  # seconds for a supervisor, or a pool (whose own timer is 5 s), to start the next one


def _asked_or_stopped(strong: Fault) -> tuple[Fault, ...]:
    return (*((kill(),) if strong.args.get("children") else ()), terminate(), stop())


def _main_alone(strong: Fault) -> tuple[Fault, ...]:
    return () if strong.args.get("main_only") else (stop(main_only=True),)


@fault(targets=TARGETS, heal=BY_SUPERVISOR, weaker=_asked_or_stopped)
def kill(children: bool = False) -> Fault:
    """The main process is killed (SIGKILL); a broker's server is.

    With `children` all that it has started is killed with it, such as a worker's pool.
    """
    return Fault("kill", {"children": True} if children else {})


@fault(targets=TARGETS, heal=BY_SUPERVISOR)
def terminate(grace: Duration = "10s") -> Fault:
    """The main process is asked to end (SIGTERM), for a worker a warm shutdown.

    What has not ended `grace` after the signal is killed when the fault heals, as every supervisor does in the end.
    """
    return Fault("terminate", {"grace": seconds(grace)})


@fault(targets={"worker"}, heal="its supervisor starts it again", weaker=lambda strong: (terminate(**strong.args),))
def cold_shutdown(grace: Duration = "10s") -> Fault:
    """A worker is told to drop what it does and end (SIGQUIT)."""
    return Fault("cold_shutdown", {"grace": seconds(grace)})


@fault(targets=TARGETS, heal="SIGCONT", weaker=_main_alone)
def stop(main_only: bool = False) -> Fault:
    """All of its processes stand still (SIGSTOP), connections stay; then they go on.

    With `main_only` the main process alone does, and its pool works on.
    """
    return Fault("stop", {"main_only": True} if main_only else {})


@fault(targets={"worker"}, heal="the pool starts another one")
def kill_child(n: int = 1) -> Fault:
    """A worker's nth pool process is killed (SIGKILL), the oldest being the first."""
    if n < 1:
        raise ValueError(f"pool processes are counted from 1: n={n}")
    return Fault("kill_child", {"n": n} if n > 1 else {})


def _group(process: Process) -> list[int]:
    """The process and what it has started in its own group: the supervisor ends whatever is left of that."""
    found = [table.entry(pid) for pid in table.family(process.pid)]
    return [entry.pid for entry in found if entry and entry.group == process.pid]


def _ended_by(sig: Signals) -> Striker:
    def striker(subject: Subject, target: str, fault: Fault) -> Strike:
        if target == "broker":
            return end_broker(subject, graceful=sig is not SIGKILL)
        process, deadline = subject.process(target), time.monotonic() + fault.args.get("grace", 0)
        met = process.alive
        killed = frozenset(_group(process) if met and sig is SIGKILL else ())  # the supervisor ends the rest
        subject.strike(target)
        (process.signal_group if fault.args.get("children") else process.signal)(sig)
        survived = False

        def look(patience: float) -> str:
            if met and sig is SIGKILL and not survived:
                with suppress(NeverHappened):
                    process.wait(patience)  # the signal is on its way
            code = process.returncode if met else None
            # A killed process that had ended by itself, or that only the heal could end, was not killed.
            if code is None or (sig is SIGKILL and (survived or code != -SIGKILL)):
                return ""
            return f"{process} ended with {code} after {sig.name}"

        def heal() -> None:
            nonlocal survived
            if process.alive:
                survived = True
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except NeverHappened:
                    process.signal(SIGKILL)
                    process.wait(AGAIN_WITHIN)
            _again(subject, target, process)

        return replace(lasting(look, heal), killed=killed)

    return striker


strikes(kill)(_ended_by(SIGKILL))
strikes(terminate)(_ended_by(SIGTERM))
strikes(cold_shutdown)(_ended_by(SIGQUIT))


def _again(subject: Subject, target: str, old: Process) -> None:
    """Wait until the supervisor has started the next one. RuntimeError when it gave up, unless that was planned.

    Nobody starts a client's process again.
    """
    if target not in subject.supervisors:
        return
    keeper = subject.supervisors[target]

    def again() -> bool:
        return bool(keeper.gave_up) or (keeper.current is not old and keeper.current.alive)

    eventually(again, within=AGAIN_WITHIN, what=f"{target} is started again", evidence=old.tail)
    subject.check()


@strikes(stop)
def _stopped(subject: Subject, target: str, fault: Fault) -> Strike:
    if target == "broker":
        return pause_broker(subject)
    process, main_only = subject.process(target), bool(fault.args.get("main_only"))
    struck = [process.pid] if main_only else process.members()
    (process.signal if main_only else process.signal_group)(SIGSTOP)

    def states() -> list[str]:
        return [found.state[:1] for pid in struck if process.alive and (found := table.entry(pid))]

    def look(_: float) -> str:
        now = states()
        return f"{len(now)} processes of {process} stand still" if now and set(now) <= {"T", "t", "Z"} else ""

    def heal() -> None:
        (process.signal if main_only else process.signal_group)(SIGCONT)
        eventually(lambda: "T" not in states(), within=5.0, what=f"{process} goes on")

    return lasting(look, heal)


def pool(process: Process) -> list[psutil.Process]:
    """The living pool processes of a prefork worker, the oldest first; billiard's semaphore tracker is none."""
    found = []
    for child in process.children():
        with suppress(psutil.Error):
            living = child.status() != psutil.STATUS_ZOMBIE
            if living and child.ppid() == process.pid and "_tracker" not in " ".join(child.cmdline()):
                found.append((child.create_time(), child.pid, child))
    return [child for _, _, child in sorted(found, key=lambda each: each[:2])]


@strikes(kill_child)
def _child_killed(subject: Subject, target: str, fault: Fault) -> Strike:
    process, n = subject.process(target), fault.args.get("n", 1)
    children = pool(process)
    if process.alive and len(children) < n:
        raise LookupError(f"{process} has {len(children)} pool processes, none is the {n}. (pool: prefork?)")
    child = children[n - 1] if children else None
    with suppress(psutil.NoSuchProcess):
        if child:
            child.kill()

    def look(within: float) -> str:
        if child is None:
            return ""
        with suppress(psutil.TimeoutExpired):
            child.wait(within)  # for a kernel on a busy machine: the signal is on its way
        with suppress(psutil.NoSuchProcess):
            if child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
                return ""
        return f"pool process {child.pid} of {process} is gone"

    def heal() -> None:
        def again() -> bool:
            return not process.alive or len([each for each in pool(process) if each != child]) >= len(children)

        eventually(again, within=AGAIN_WITHIN, every=0.05, what=f"{process} has its pool again", evidence=process.tail)

    return replace(lasting(look, heal), killed=frozenset({child.pid} if child else ()))
