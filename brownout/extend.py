"""The public names with which a project adds its own faults and promises, see docs/extending.md."""

from brownout.check.interval import Findings, over
from brownout.check.registry import checker, judge, rule
from brownout.check.verdict import Anomaly, Ruling, Verdict, witness
from brownout.faults.edges import reach
from brownout.faults.lasting import lasting
from brownout.faults.strike import Strike, strike, strikes
from brownout.history.event import Event
from brownout.history.operation import Operation
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds
from brownout.plan.fault import Fault, fault
from brownout.plan.promise import Promise
from brownout.subject.subject import Subject
from brownout.subject.waiting import eventually

__all__ = [
    "Anomaly",
    "Duration",
    "Event",
    "Fault",
    "Findings",
    "History",
    "Operation",
    "Promise",
    "Ruling",
    "Strike",
    "Subject",
    "Verdict",
    "checker",
    "eventually",
    "fault",
    "judge",
    "lasting",
    "over",
    "reach",
    "rule",
    "seconds",
    "strike",
    "strikes",
    "witness",
]
