"""A fault that nobody met proves nothing."""

from __future__ import annotations

from brownout.check.accounting import is_over
from brownout.check.promises.loss import finished
from brownout.check.registry import checker
from brownout.check.verdict import Ruling
from brownout.history.event import Event
from brownout.history.view import History, Window
from brownout.plan.plan import told_apart


@checker()
def faults_acted(history: History) -> Ruling:
    """Every fault acted while an operation was in flight, and healed.

    Otherwise the verdict is unknown, never invalid. In flight is from the invoke to the effect, or to the answer
    of what has none. A fault without its `fault-stop`, and a toxic that outlives the faults in whose time it was
    added, are mistakes of the harness.
    """
    windows, spans = history.faults, _spans(history)
    doubts = [] if windows else ["no fault was injected"]
    for window, name in zip(windows, told_apart((each.text, each.number) for each in windows), strict=True):
        if not window.acted:
            doubts.append(f"{name} was never seen to act")
        elif window.stop is None:
            doubts.append(f"{name} never healed: a mistake of the harness")
        elif not any(_met(window, begin, end) for begin, end in spans):
            doubts.append(f"{name} met no operation in flight")
    return Ruling(doubt="; ".join([*doubts, *_unhealed(history)]), why=f"{len(windows)} faults acted")


def _unhealed(history: History) -> list[str]:
    """What the wire says of toxics that a heal forgot: one sentence for each of an edge."""
    told, armed = dict[tuple[str, str], str](), dict[tuple[str, str], Event]()
    struck = set[tuple[str, str]]()
    for event in history.kind("toxic-added", "toxic-removed", "toxic-acted"):
        one = (str(event.data.get("edge")), str(event.data.get("toxic")))
        if event.kind == "toxic-added":
            armed[one] = event
            struck |= {one} if _during(history, event) else set()
            continue
        added = armed.pop(one, None) if event.kind == "toxic-removed" else armed.get(one)
        if added is not None and (stop := _outlived(history, added, event.at)):
            told[one] = f"{_name(one)} went on for {(event.at - stop) / 1e9:.3g} s after its fault-stop"
        elif added is None and event.kind == "toxic-acted" and one in struck and not _during(history, event):
            told[one] = f"{_name(one)} acted although it was taken off"
    for one, added in armed.items():
        if _outlived(history, added, history.end):
            told[one] = f"{_name(one)} was never taken off"
    return [f"{each}: a mistake of the harness" for each in told.values()]


def _name(one: tuple[str, str]) -> str:
    edge, toxic = one
    return f"on {edge} the toxic {toxic!r}"


def _during(history: History, event: Event) -> list[Window]:
    begun = (each for each in history.faults if each.start.at <= event.at)
    return [each for each in begun if each.stop is None or event.at <= each.stop.at]


def _outlived(history: History, added: Event, until: int) -> int:
    """When (ns) the last of the faults that may have added this toxic had healed, if the toxic was there until later.

    0 when it was not.
    """
    stops = [each.stop.at if each.stop else until for each in _during(history, added)]
    return max(stops) if stops and max(stops) < until else 0


def _spans(history: History) -> list[tuple[int, int]]:
    spans = []
    for op in history.ops.values():
        if op.invoke:
            done = finished(op) if op.works else None
            ends = [event.at for event in (done, *op.outcomes) if event]
            # An acknowledged operation without effect is in flight to the end.
            lasting = not ends or (op.accepted is not None and done is None and not any(map(is_over, op.events)))
            spans.append((op.invoke.at, history.end if lasting else max(ends)))
    return spans


def _met(window: Window, begin: int, end: int) -> bool:
    stop = window.stop.at if window.stop else end
    return begin <= stop and end >= window.start.at
