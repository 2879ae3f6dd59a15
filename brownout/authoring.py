"""All that a scenario is written with; `from brownout import ...` finds it here, and imports it only then."""

from brownout.check.promises import (
    answers,
    at_least_once,
    at_most_once,
    attempts_within,
    backlog_within,
    backoff_within,
    conservation,
    drained,
    effectively_once,
    faults_acted,
    graceful,
    loop_never_stalls,
    must_show,
    no_cross_talk,
    nothing_raised,
    nothing_stuck,
    p99,
    recovers,
    recovery_bound,
    status_monotone,
    status_truthful,
)
from brownout.explore.items import CellOutcome, MapCell, fault_map
from brownout.faults import (
    bandwidth,
    blackhole,
    cold_shutdown,
    cut,
    disconnect,
    flap,
    flush,
    freeze,
    half_open,
    kill,
    kill_child,
    latency,
    limit_data,
    loading,
    out_of_clients,
    out_of_memory,
    read_only,
    refuse,
    reset,
    reset_peer,
    slicer,
    slow_close,
    spike,
    stop,
    terminate,
    vanish,
)
from brownout.history.effects import ledger, sqlite_accepted, sqlite_effects
from brownout.lab import Lab, Outcome
from brownout.plan.fault import Fault
from brownout.plan.operation import get, post, submit
from brownout.plan.promise import Promise
from brownout.plan.trigger import Trigger, after, at, effect, ended, event, received, started
from brownout.subject.application import Application

__all__ = [
    "Application", "CellOutcome", "Fault", "Lab", "MapCell", "Outcome", "Promise", "Trigger", "after", "answers",
    "at", "at_least_once", "at_most_once", "attempts_within", "backlog_within", "backoff_within", "bandwidth",
    "blackhole", "cold_shutdown", "conservation", "cut", "disconnect", "drained", "effect", "effectively_once",
    "ended", "event", "fault_map", "faults_acted", "flap", "flush", "freeze", "get", "graceful", "half_open", "kill",
    "kill_child", "latency", "ledger", "limit_data", "loading", "loop_never_stalls", "must_show", "no_cross_talk",
    "nothing_raised", "nothing_stuck", "out_of_clients", "out_of_memory", "p99", "post", "read_only", "received",
    "recovers", "recovery_bound", "refuse", "reset", "reset_peer", "slicer", "slow_close", "spike", "sqlite_accepted",
    "sqlite_effects",
    "started", "status_monotone", "status_truthful", "stop", "submit", "terminate", "vanish",
]  # fmt: skip
