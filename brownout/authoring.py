"""The public names for scenarios; `from brownout import ...` imports this module when a name is first used.

The names of promises and faults come from the lists `__all__` of the packages of promises and of faults.
"""

from brownout import faults as _faults
from brownout.check import promises as _promises
from brownout.check.promises import *  # noqa: F403 - the lists of exports are those of the packages
from brownout.faults import *  # noqa: F403 - see above
from brownout.history.effects import ledger, sqlite_accepted, sqlite_effects, sqlite_rows
from brownout.lab import Lab, Outcome
from brownout.map_cells import CellOutcome, MapCell, fault_map
from brownout.plan.fault import Fault
from brownout.plan.operation import get, post, submit
from brownout.plan.promise import Promise
from brownout.plan.trigger import (
    AfterFault,
    AtTime,
    OnEvent,
    Trigger,
    after,
    at,
    effect,
    ended,
    event,
    point,
    received,
    started,
)
from brownout.subject.application import Application

__all__ = [
    "AfterFault",
    "Application",
    "AtTime",
    "CellOutcome",
    "Fault",
    "Lab",
    "MapCell",
    "OnEvent",
    "Outcome",
    "Promise",
    "Trigger",
    "after",
    "at",
    "effect",
    "ended",
    "event",
    "fault_map",
    "get",
    "ledger",
    "point",
    "post",
    "received",
    "sqlite_accepted",
    "sqlite_effects",
    "sqlite_rows",
    "started",
    "submit",
    *_faults.__all__,
    *_promises.__all__,
]
