"""The event that is the cause of an anomaly, and a sentence about it."""

from __future__ import annotations

from collections.abc import Callable

from brownout.check.interval import readable
from brownout.check.verdict import Anomaly
from brownout.history.event import Event
from brownout.history.view import History
from brownout.report.facts.case import NS, Case, Cause
from brownout.report.facts.gap import waited
from brownout.report.facts.lanes import Lanes, state
from brownout.report.facts.leading import moment_of
from brownout.report.facts.order import natural
from brownout.report.facts.undone import lost, stuck
from brownout.report.facts.whereabouts import TAKEN, Whereabouts, events_of


def cause(history: History, lanes: Lanes, anomaly: Anomaly, where: Whereabouts) -> Cause:
    """The cause, as far as the history shows it. Never an event that only ends the trial."""
    case = Case(history, lanes, anomaly, where, tuple(events_of(history, anomaly.key, anomaly.task)))
    search = _SEARCHES.get(anomaly.kind)
    found = search(case) if search else None
    return found or Cause(_proof(case), "", anomaly.kind)


def _proof(case: Case) -> Event | None:
    """The event at which the anomaly came; else the last sign of the job among the events that prove it."""
    if moment := moment_of(case.anomaly):
        return moment
    proved = [event for event in case.anomaly.witness if event.source not in ("run", "broker", "nemesis")]
    return next((event for event in reversed(proved) if event.kind not in ("read", "unread")), None)


#: How a request may end without an answer, with the names of httpx's errors.
_NO_ANSWER = {
    "its client gave up": ("ReadTimeout", "WriteTimeout", "ConnectTimeout", "PoolTimeout"),
    "its connection ended": ("RemoteProtocolError", "ReadError", "WriteError", "CloseError"),
}


def _failed(case: Case) -> Cause | None:
    moment = moment_of(case.anomaly)
    error = moment.data.get("error") if moment else None
    return Cause(moment, f"{moment.source} failed with {error}" if moment and error else "", "the failure")


def _stalled(case: Case) -> Cause | None:
    """Names the application's own code in which the event loop stood still."""
    moment = moment_of(case.anomaly)
    own = str(moment.data.get("own") or "") if moment else ""
    return Cause(moment, f"{own} blocked the event loop of {moment.source}", "stalled") if moment and own else None


def _misanswered(case: Case) -> Cause | None:
    """What the API answered instead, and after which time: a fast error has another cause than a slow one."""
    moment = moment_of(case.anomaly)
    sent = next((event for event in case.anomaly.witness if event.kind == "invoke"), None)
    if moment is None or sent is None:
        return None
    sentence = f"the API answered {moment.data.get('status')} after {readable((moment.at - sent.at) / NS)}"
    return Cause(moment, sentence, "misanswered")


def _unanswered(case: Case) -> Cause | None:
    """Whether an API that never answered one request answered others, and whether it could do so after the fault."""
    moment = moment_of(case.anomaly)
    sent = next((event for event in case.anomaly.witness if event.kind == "invoke"), None)
    if moment is None or sent is None or moment.kind != "info" or _answered(moment):
        return None
    others = [one for one in case.history.kind("ok", "fail", "info", "read") if sent.at < one.at <= moment.at]
    http = {one.key for one in case.history.kind("invoke") if one.data.get("op") == "http"}
    answered = sum(one.key != sent.key and one.key in http and _answered(one) for one in others)
    what = f"{answered} other requests" if answered > 1 else "one other request" if answered else "no other request"
    error = str(moment.data.get("error") or "")
    how = next((words for words, names in _NO_ANSWER.items() if error.startswith(names)), "")
    passed = f"after {readable((moment.at - sent.at) / NS)}"
    how = (
        f"{how} {passed} without an answer"
        if how
        else f"its request failed {passed}" + (f" ({error})" if error else "")
    )
    sentence = f"{how}; meanwhile the API answered {what}"
    healed = [(window.stop.at, window.text) for window in case.history.faults if window.stop]
    if healed := [(at, text) for at, text in healed if sent.at < at < moment.at]:
        at, text = max(healed)
        sentence += f", and {text} had healed {readable((moment.at - at) / NS)} before"
    return Cause(moment, sentence, "never answered")


def _answered(end: Event) -> bool:
    """Whether the API itself answered: with a status of HTTP, whichever it is, or with the status of a task."""
    return end.kind == "read" or end.data.get("status") is not None


def _duplicate(case: Case) -> Cause | None:
    effects = [event for event in case.events if event.kind == "effect"]
    begun = [event for event in case.events if event.kind in TAKEN]
    if len(effects) < 2 or not begun:
        return None
    again = [event for event in begun if begun[0].at < event.at <= effects[1].at and event is not begun[0]]
    again = [event for event in again if event.source != begun[0].source or event.data.get("redelivered")] or again
    if not again:
        return None
    second, first = again[0], begun[0]
    published = [event for event in case.events if event.kind == "publish" and first.at < event.at <= second.at]
    if published:
        sentence = f"{published[-1].source} published {case.name} again while {_had(case, first, second)}"
        return Cause(published[-1], sentence, "published a second time")
    passed = (second.at - first.at) / NS
    timeout = case.where.returns
    why = f" (visibility_timeout is {readable(timeout)})" if timeout is not None and passed >= timeout else ""
    sentence = f"{second.source} received {case.name} again {readable(passed)} later{why} while "
    return Cause(second, sentence + _had(case, first, second), "delivered a second time")


def _had(case: Case, first: Event, second: Event) -> str:
    """What the worker of the first delivery had done with the task at the second delivery."""
    own = (event for event in case.events if event.source == first.source and first.at <= event.at <= second.at)
    if any(event.kind == "ended" for event in own):
        return f"{first.source} had finished it already"
    if first.source == second.source:
        return "it still had it"
    return f"{first.source} still had it and was {state(case.lanes, first.source, second.at)}"


def _overtried(case: Case) -> Cause | None:
    """The first start over the limit."""
    limit = case.anomaly.sentence.rpartition(" is ")[2].rstrip(".")
    starts = [event for event in case.events if event.kind == "started"]
    over = [event for event in starts if limit.isdecimal() and event.data.get("retries", 0) > int(limit)]
    if not over:
        return Cause(moment_of(case.anomaly), "", "one attempt too many")
    published = [event for event in case.events if event.kind == "publish" and event.at < over[0].at]
    who = f"{published[-1].source} published {case.name} again after retry {limit}" if published else ""
    return Cause(over[0], who, "one attempt too many")


def _backoff(case: Case) -> Cause | None:
    moment = moment_of(case.anomaly)
    if moment is None:
        return None
    countdown = moment.data.get("countdown", 0)
    return Cause(moment, f"{moment.source} retries {case.name} with a countdown of {countdown:g} s", "waits so long")


def _raised(case: Case) -> Cause | None:
    moment = moment_of(case.anomaly)
    if moment is None:
        return None
    return Cause(moment, f"{moment.data.get('path')} raised {moment.data.get('error')}", "raised here")


def _backlog(case: Case) -> Cause | None:
    """What the workers were when there were too many messages."""
    moment = moment_of(case.anomaly)
    names = sorted({event.source for event in case.history.kind("ready", source="worker")}, key=natural)
    if moment is None or not names:
        return None
    states = {name: state(case.lanes, name, moment.at) for name in names}
    struck = [event for event in case.history.kind("fault-acted") if event.at <= moment.at]
    if "frozen" in states.values() or "ended" in states.values():
        told = ", ".join(f"{name} was {word}" for name, word in states.items())
        return Cause(struck[-1] if struck else moment, f"{told} while the messages waited", "no worker receives")
    invoked = sum(moment.at - NS <= event.at <= moment.at for event in case.history.kind("invoke"))
    taken = sum(moment.at - NS <= event.at <= moment.at for event in case.history.kind("received"))
    sentence = f"in the second before, clients sent {invoked} requests and workers received {taken} messages"
    return Cause(moment, sentence, "too many messages")


_SEARCHES: dict[str, Callable[[Case], Cause | None]] = {
    "lost": lost,
    "failed": _failed,
    "misanswered": _misanswered,
    "slow": _unanswered,
    "unanswered": _unanswered,
    "stalled": _stalled,
    "stuck": stuck,
    "abandoned": lost,
    "unrecovered": lost,
    "late": waited,
    "late-recovery": waited,
    "duplicate": _duplicate,
    "overtried": _overtried,
    "misbackoff": _backoff,
    "unhandled": _raised,
    "backlog": _backlog,
    "undrained": stuck,
}
