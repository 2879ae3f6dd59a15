"""Faults of processes, carried out by signals. With the target "broker" these faults strike the Redis server."""

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
from brownout.subject.processes import table
from brownout.subject.processes.process import Process
from brownout.subject.subject import Subject
from brownout.subject.waiting import NeverHappened, eventually

TARGETS = frozenset({"worker", "api", "relay", "beat", "client", "broker"})
BY_SUPERVISOR = "the supervisor starts the process again; Redis is started again with its data"
AGAIN_WITHIN = 20.0  # seconds; within this time a supervisor, or a pool with its timer of 5 s, starts the next process


def _asked_or_stopped(strong: Fault) -> tuple[Fault, ...]:
    return (*((kill(),) if strong.args.get("children") else ()), terminate(), stop())


def _main_alone(strong: Fault) -> tuple[Fault, ...]:
    return () if strong.args.get("main_only") else (stop(main_only=True),)


@fault(targets=TARGETS, heal=BY_SUPERVISOR, weaker=_asked_or_stopped)
def kill(children: bool = False) -> Fault:
    """The main process, or the Redis server of a broker, is killed (SIGKILL).

    If `children` is true, every process that the main process started is killed, too, such as a worker's pool.
    """
    return Fault("kill", {"children": True} if children else {})


@fault(targets=TARGETS, heal=BY_SUPERVISOR)
def terminate(grace: Duration = "10s") -> Fault:
    """The main process is asked to end (SIGTERM); a worker then shuts down warmly.

    A process that has not ended `grace` seconds after the signal is killed when the fault heals, as supervisors do.
    """
    return Fault("terminate", {"grace": seconds(grace)})


@fault(
    targets={"worker"}, heal="the supervisor starts the worker again", weaker=lambda strong: (terminate(**strong.args),)
)
def cold_shutdown(grace: Duration = "10s") -> Fault:
    """A worker is told to drop its tasks and end (SIGQUIT)."""
    return Fault("cold_shutdown", {"grace": seconds(grace)})


@fault(targets=TARGETS, heal="SIGCONT", weaker=_main_alone)
def stop(main_only: bool = False) -> Fault:
    """All processes of the target are frozen (SIGSTOP); their connections stay open.

    If `main_only` is true, only the main process is frozen, and its pool goes on working.
    """
    return Fault("stop", {"main_only": True} if main_only else {})


@fault(targets={"worker"}, heal="the pool starts another process")
def kill_child(n: int = 1) -> Fault:
    """A worker's `n`th pool process is killed (SIGKILL); the oldest is number 1."""
    if n < 1:
        raise ValueError(f"pool processes are counted from 1: n={n}")
    return Fault("kill_child", {"n": n} if n > 1 else {})


def _group(process: Process) -> list[int]:
    """Return the pids of a process and of the processes that it started in its process group."""
    entries = [table.entry(pid) for pid in table.family(process.pid)]
    return [entry.pid for entry in entries if entry and entry.group == process.pid]


def _ended_by(sig: Signals) -> Striker:
    def striker(subject: Subject, target: str, fault: Fault) -> Strike:
        if target == "broker":
            return end_broker(subject, graceful=sig is not SIGKILL)
        process, deadline = subject.process(target), time.monotonic() + fault.args.get("grace", 0)
        met = process.alive
        # The supervisor, not this fault, ends the process's children.
        killed = frozenset(_group(process) if met and sig is SIGKILL else ())
        subject.strike(target)
        (process.signal_group if fault.args.get("children") else process.signal)(sig)
        survived = False

        def look(patience: float) -> str:
            if met and sig is SIGKILL and not survived:
                with suppress(NeverHappened):
                    process.wait(patience)  # the kernel may not have delivered the signal yet
            code = process.returncode if met else None
            # A process that had ended by itself, or that only the heal could end, was not killed by this fault.
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
    """Wait until the supervisor has started the next process. The process that sends tasks for clients has no
    supervisor.

    Raises RuntimeError if the supervisor gave up, unless the plan expects the supervisor to give up.
    """
    if target not in subject.supervisors:
        return
    supervisor = subject.supervisors[target]

    def again() -> bool:
        return bool(supervisor.gave_up) or (supervisor.current is not old and supervisor.current.alive)

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
        return [entry.state[:1] for pid in struck if process.alive and (entry := table.entry(pid))]

    def look(_: float) -> str:
        now = states()
        return f"{len(now)} processes of {process} are frozen" if now and set(now) <= {"T", "t", "Z"} else ""

    def heal() -> None:
        (process.signal if main_only else process.signal_group)(SIGCONT)
        eventually(lambda: "T" not in states(), within=5.0, what=f"{process} goes on")

    return lasting(look, heal)


def pool(process: Process) -> list[psutil.Process]:
    """Return the living pool processes of a prefork worker, the oldest first, without billiard's semaphore tracker."""
    processes = []
    for child in process.children():
        with suppress(psutil.Error):
            living = child.status() != psutil.STATUS_ZOMBIE
            if living and child.ppid() == process.pid and "_tracker" not in " ".join(child.cmdline()):
                processes.append((child.create_time(), child.pid, child))
    return [child for _, _, child in sorted(processes, key=lambda entry: entry[:2])]


@strikes(kill_child)
def _child_killed(subject: Subject, target: str, fault: Fault) -> Strike:
    process, n = subject.process(target), fault.args.get("n", 1)
    children = pool(process)
    if process.alive and len(children) < n:
        raise LookupError(
            f"{process} has {len(children)} pool processes, so {fault} has no target: is its pool prefork?"
        )
    child = children[n - 1] if children else None
    with suppress(psutil.NoSuchProcess):
        if child:
            child.kill()

    def look(within: float) -> str:
        if child is None:
            return ""
        with suppress(psutil.TimeoutExpired):
            child.wait(within)  # on a busy machine the kernel may deliver the signal late
        with suppress(psutil.NoSuchProcess):
            if child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
                return ""
        return f"pool process {child.pid} of {process} has ended"

    def heal() -> None:
        def again() -> bool:
            return not process.alive or len([other for other in pool(process) if other != child]) >= len(children)

        eventually(again, within=AGAIN_WITHIN, every=0.05, what=f"{process} has its pool again", evidence=process.tail)

    return replace(lasting(look, heal), killed=frozenset({child.pid} if child else ()))
