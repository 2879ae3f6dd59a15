"""A fault proves nothing when no operation was in flight during the fault."""

from __future__ import annotations

from brownout.check.accounting import is_over
from brownout.check.interval import readable
from brownout.check.promises.loss import finished
from brownout.check.registry import checker
from brownout.check.verdict import NS, Ruling
from brownout.history.event import Event
from brownout.history.view import History, Window
from brownout.plan.plan import told_apart


@checker()
def faults_acted(history: History) -> Ruling:
    """Every fault had an effect while an operation was in flight, and healed.

    When a fault did not act or heal, the verdict is unknown, never invalid. An operation is in flight from the moment
    at which its client sends it to its effect, to the end of its task when it has no effect, or to its answer when it
    has neither. A fault without a `fault-stop` is a mistake of brownout. So is a network fault that still acts on a
    connection after every fault that may have added it has healed.
    """
    windows, spans = history.faults, _spans(history)
    doubts = [] if windows else ["no fault was injected"]
    for window, name in zip(windows, told_apart((window.text, window.number) for window in windows), strict=True):
        if not window.acted:
            doubts.append(f"{name} was never seen to act")
        elif window.stop is None:
            doubts.append(f"{name} never healed: a mistake of the harness")
        elif not any(_met(window, begin, end) for begin, end in spans):
            doubts.append(f"no operation was in flight during {name}")
    return Ruling(doubt="; ".join([*doubts, *_unhealed(history)]), why=f"{len(windows)} faults acted")


def _unhealed(history: History) -> list[str]:
    """Return a sentence for each network fault that was still in force, or still acted, on a network edge after the
    fault had healed."""
    sentences, armed = dict[tuple[str, str], str](), dict[tuple[str, str], Event]()
    struck = set[tuple[str, str]]()
    for event in history.kind("toxic-added", "toxic-removed", "toxic-acted"):
        toxic = (str(event.data.get("edge")), str(event.data.get("toxic")))
        if event.kind == "toxic-added":
            armed[toxic] = event
            struck |= {toxic} if _during(history, event) else set()
            continue
        added = armed.pop(toxic, None) if event.kind == "toxic-removed" else armed.get(toxic)
        if added is not None and (stop := _outlived(history, added, event.at)):
            sentences[toxic] = f"{_name(*toxic)} stayed for {readable((event.at - stop) / NS)} after its fault-stop"
        elif added is None and event.kind == "toxic-acted" and toxic in struck and not _during(history, event):
            sentences[toxic] = f"{_name(*toxic)} acted after it was removed"
    for toxic, added in armed.items():
        if _outlived(history, added, history.end):
            sentences[toxic] = f"{_name(*toxic)} was never removed"
    return [f"{sentence}: a mistake of the harness" for sentence in sentences.values()]


def _name(edge: str, toxic: str) -> str:
    return f"the toxic {toxic!r} on {edge}"


def _during(history: History, event: Event) -> list[Window]:
    begun = (window for window in history.faults if window.start.at <= event.at)
    return [window for window in begun if window.stop is None or event.at <= window.stop.at]


def _outlived(history: History, added: Event, until: int) -> int:
    """Return the time (ns) at which the last of the faults that may have added this toxic (a network fault) had healed.
    Return 0 unless the network fault was still in force after all these faults had healed."""
    stops = [window.stop.at if window.stop else until for window in _during(history, added)]
    return max(stops) if stops and max(stops) < until else 0


def _spans(history: History) -> list[tuple[int, int]]:
    spans = []
    for op in history.ops.values():
        if op.invoke:
            done = (finished(op) or next(filter(is_over, op.events), None)) if op.works else None
            ends = [event.at for event in (done, *op.outcomes) if event]
            # An acknowledged operation that is neither done nor over counts as in flight until the end of the history.
            unfinished = not ends or (op.accepted is not None and done is None)
            spans.append((op.invoke.at, history.end if unfinished else max(ends)))
    return spans


def _met(window: Window, begin: int, end: int) -> bool:
    stop = window.stop.at if window.stop else end
    return begin <= stop and end >= window.start.at
