"""Faults of the Redis server's process, in which Redis ends and is started again with its data, or is frozen."""

from __future__ import annotations

from dataclasses import replace

from brownout.faults.lasting import lasting
from brownout.faults.strike import Strike
from brownout.subject.subject import Subject


def end_broker(subject: Subject, *, graceful: bool) -> Strike:
    """End Redis by SIGKILL; or, when `graceful`, by SIGTERM, on which Redis writes its files before it ends."""
    broker, run = subject.broker, subject.broker.run_id
    met, pid = broker.state() == "running", broker.pid
    broker.end(graceful=graceful)

    def look(_: float) -> str:
        ended = met and (broker.state() == "ended" or broker.run_id != run)
        return f"Redis on port {broker.port} ended (run {run[:8]})" if ended else ""

    def heal() -> None:
        if broker.state() == "ended":
            broker.restart()
            subject.broker_moved()

    return replace(lasting(look, heal), killed=frozenset({pid} if met and pid and not graceful else ()))


def pause_broker(subject: Subject) -> Strike:
    """Freeze Redis by SIGSTOP, or by its cgroup: the port still accepts connections, but Redis answers nothing."""
    broker = subject.broker
    met = broker.state() != "ended"
    if met:
        broker.pause()

    def look(_: float) -> str:
        return f"Redis on port {broker.port} is frozen" if met and broker.state() == "paused" else ""

    def heal() -> None:
        if broker.state() == "paused":
            broker.resume()
            broker.wait_ready()

    return lasting(look, heal)
