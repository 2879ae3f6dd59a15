"""Which anomaly leads the report, how often it came, and which other promises it breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from brownout.check.interval import readable
from brownout.check.verdict import Anomaly, Verdict
from brownout.history.event import Event
from brownout.history.view import History
from brownout.report.facts.defaults import named_default
from brownout.report.facts.order import natural

#: Kinds of anomaly, roots before their consequences. A kind that is not listed comes last.
ORDER = (
    *("missing", "worker-dead", "unhandled", "stalled", "unspread", "misbackoff", "overtried", "cross-talk", "phantom"),
    *("orphan", "misrouted", "failed", "revoked", "lost", "interrupted", "abandoned", "duplicate", "duplicate-later"),
    *("silent", "misreported", "zombie", "stuck", "undrained", "hangs", "unread", "late", "late-recovery"),
    *("unrecovered", "backlog", "unanswered", "misanswered", "slowed", "slow", "slow-shutdown", "leak"),
)
_UNDONE = frozenset({"stuck", "undrained", "late", "late-recovery", "unrecovered", "hangs", "unread", "backlog"})
_SLOW = frozenset({"slowed", "slow", "misanswered", "unanswered", "late", "late-recovery"})
#: Root: the kinds of anomaly that follow from it.
CONSEQUENCES = {
    "worker-dead": _UNDONE | {"lost", "silent", "abandoned"},
    "unhandled": _SLOW | {"lost", "failed"},
    "stalled": _SLOW,
    "misbackoff": _UNDONE | {"unspread"},
    "overtried": _UNDONE,
    "misrouted": _UNDONE,
    "failed": _UNDONE,
    "revoked": _UNDONE,
    "lost": _UNDONE,
    "interrupted": _UNDONE,
    "abandoned": _UNDONE,
    "duplicate": frozenset({"duplicate-later"}),
    "silent": _UNDONE,
    "stuck": _UNDONE,
    "undrained": _UNDONE,
    "late": _UNDONE,
    "late-recovery": _UNDONE,
    "backlog": _SLOW,
    "unanswered": _SLOW,
}
#: Kind of anomaly: the kinds of event at which it came.
_MOMENTS = {
    "misbackoff": ("retry",),
    "unspread": ("retry",),
    "overtried": ("started",),
    "duplicate": ("effect", "started"),
    "failed": ("failed", "ended"),
    "revoked": ("revoked",),
    "unhandled": ("raised",),
    "stalled": ("stall", "starved"),
    "worker-dead": ("exit",),
    "phantom": ("effect",),
    "late": ("effect", "ended"),
    "zombie": ("read",),
    "misreported": ("read",),
    "cross-talk": ("ok", "read", "effect"),
    "misanswered": ("ok", "fail", "info"),
    "unanswered": ("info", "fail"),
    "slow": ("ok", "fail", "info"),
    "backlog": ("sample",),
    "interrupted": ("shutdown", "exit"),
    "slow-shutdown": ("shutdown", "exit"),
    "leak": ("resources",),
}


@dataclass(frozen=True)
class Tally:
    """All anomalies of one kind. `count` of `population` are broken, `before` of them before the first fault.

    `example` is the anomaly that the report shows. `population` is None where nothing was counted. `default` names
    the Celery default that the measured value is. `promises` are those that the anomalies break, as written.
    """

    kind: str
    sentence: str
    count: int
    population: int | None
    before: int
    example: Anomaly
    promises: tuple[str, ...]
    default: str = ""


@dataclass(frozen=True)
class Lead:
    """The root anomaly. `also` are the names of promises that its consequences break; `others` have other causes."""

    root: Tally
    also: tuple[str, ...]
    others: tuple[Tally, ...]
    counts: Mapping[str, int] = field(default_factory=dict, hash=False)  # from a kind of anomaly to its number


def leading(verdicts: Iterable[Verdict], history: History) -> Lead | None:
    """The root anomaly of all invalid verdicts; None when no verdict is invalid."""
    found: dict[str, dict[object, Anomaly]] = {}
    promises: dict[str, dict[str, None]] = {}
    for verdict in verdicts:
        for anomaly in verdict.anomalies if verdict.validity == "invalid" else ():
            # One operation can break several promises in the same way: it is one anomaly.
            found.setdefault(anomaly.kind, {}).setdefault(_identity(anomaly), anomaly)
            promises.setdefault(anomaly.kind, {})[verdict.promise] = None
    if not found:
        return None
    kinds = sorted(found, key=_rank)
    root = kinds[0]
    follows = CONSEQUENCES.get(root, frozenset())
    own = {_name(promise) for promise in list(promises[root])[:1]}
    also = dict.fromkeys(
        name
        for kind in kinds
        for name in map(_name, promises[kind])
        if name not in own and (kind == root or kind in follows)
    )
    tallies = {kind: tally(kind, list(found[kind].values()), tuple(promises[kind]), history) for kind in kinds}
    others = tuple(tallies[kind] for kind in kinds[1:] if kind not in follows)
    counts = {kind: tallies[kind].count for kind in kinds}
    return Lead(tallies[root], tuple(sorted(also, key=natural)), others, counts)


def tally(kind: str, anomalies: Sequence[Anomaly], promises: tuple[str, ...], history: History) -> Tally:
    """All anomalies of one kind as one value."""
    ordered = sorted(anomalies, key=lambda anomaly: natural(anomaly.key or anomaly.sentence))
    early = [anomaly for anomaly in ordered if came_before(anomaly, history)]
    later = [anomaly for anomaly in ordered if anomaly not in early]
    of_clients = [anomaly for anomaly in later or early if anomaly.key != "probe"]
    candidates = of_clients or later or early
    example = max(ordered, key=_stalled_ms) if kind == "stalled" else candidates[0]
    population = _population(kind, ordered, history)
    sentence, default = _counted(kind, ordered, example, population)
    return Tally(kind, sentence, len(ordered), population, len(early), example, promises, default)


def came_before(anomaly: Anomaly, history: History) -> bool:
    """Whether the anomaly was there before the first fault began, so that no fault can be its cause."""
    if not history.faults:
        return False
    moment = moment_of(anomaly)
    return moment is not None and moment.at < history.faults[0].start.at


def moment_of(anomaly: Anomaly) -> Event | None:
    """The event at which the anomaly came; None when it is proved by what is missing at the end of the trial."""
    kinds = _MOMENTS.get(anomaly.kind, ())
    return next((event for event in reversed(anomaly.witness) if event.kind in kinds), None)


def _identity(anomaly: Anomaly) -> object:
    if _WORDS.get(anomaly.kind, ("",))[0].endswith("job") and anomaly.key:
        return anomaly.key
    return (anomaly.sentence, tuple(event.at for event in anomaly.witness))


def _rank(kind: str) -> tuple[int, str]:
    return (ORDER.index(kind) if kind in ORDER else len(ORDER), kind)


def _name(promise: str) -> str:
    return promise.partition("(")[0]


# --- a tally in words

#: Kind: what is counted, the predicate for one, the predicate for many.
_WORDS = {
    "lost": ("job", "is lost", "are lost"),
    "misrouted": ("job", "lies in a queue that no worker reads", "lie in a queue that no worker reads"),
    "failed": ("job", "failed and no client was told", "failed and no client was told"),
    "revoked": ("job", "was revoked and no client was told", "were revoked and no client was told"),
    "late": ("job", "was done too late", "were done too late"),
    "duplicate": ("job", "took effect more than once", "took effect more than once"),
    "stuck": ("job", "is stuck", "are stuck"),
    "abandoned": ("job", "was left half done", "were left half done"),
    "unrecovered": ("later job", "was not done", "were not done"),
    "late-recovery": ("later job", "was done too late", "were done too late"),
    "misreported": ("status", "is not true", "are not true"),
    "zombie": ("status", "went back", "went back"),
    "overtried": ("task", "was tried too often", "were tried too often"),
    "misanswered": ("request", "got a wrong status", "got a wrong status"),
    "unanswered": ("request", "got no answer", "got no answer"),
    "slow": ("request", "had no answer in time", "had no answer in time"),
    "cross-talk": ("answer", "belongs to another job", "belong to another job"),
}
_PLURAL = {"status": "statuses"}


def _counted(kind: str, anomalies: Sequence[Anomaly], example: Anomaly, population: int | None) -> tuple[str, str]:
    """The sentence of a tally, and the default that the measured value is."""
    if kind == "misbackoff":
        return _backoff(anomalies, population, example)
    if kind == "stalled":
        return _stalls(anomalies), ""
    if kind == "unhandled":
        return _raised(anomalies), ""
    if kind not in _WORDS:
        more = f" ({len(anomalies) - 1} more like it)" if len(anomalies) > 1 else ""
        return f"{example.sentence.rstrip('.')}{more}", ""
    noun, one, many = _WORDS[kind]
    count = len(anomalies)
    total = max(population or 0, count)
    nouns = noun if total == 1 else _PLURAL.get(noun, f"{noun}s")
    sentence = f"{count} of {total} {nouns} {one if count == 1 else many}"
    return f"{sentence}{_retries_over(anomalies, example) if kind == 'overtried' else ''}", ""


def _retries_over(anomalies: Sequence[Anomaly], example: Anomaly) -> str:
    starts = [moment for anomaly in anomalies if (moment := moment_of(anomaly))]
    most = max((event.data.get("retries", 0) for event in starts), default=0)
    return f", up to retry {most}; {example.sentence.rpartition('; ')[2].rstrip('.')}" if most else ""


def _raised(anomalies: Sequence[Anomaly]) -> str:
    errors = [str(moment.data.get("error")) for anomaly in anomalies if (moment := moment_of(anomaly))]
    names = dict.fromkeys(error.partition(":")[0] for error in errors)
    more = f" and {len(names) - 2} other exceptions" if len(names) > 2 else ""
    calls = "1 call of the API" if len(anomalies) == 1 else f"{len(anomalies)} calls of the API"
    return f"{calls} raised {' and '.join([*names][:2])}{more}, and no code handled it"


def _backoff(anomalies: Sequence[Anomaly], population: int | None, example: Anomaly) -> tuple[str, str]:
    waits = {event.data.get("countdown") for a in anomalies for event in a.witness if event.kind == "retry"}
    times = sorted(float(wait) for wait in waits if isinstance(wait, int | float))
    count, total = len(anomalies), max(population or 0, len(anomalies))
    wait = f"{times[0]:g} s" if len(times) == 1 else f"{times[0]:g} to {times[-1]:g} s" if times else "a wrong time"
    limit = example.sentence.rpartition("gives ")[2].rpartition("to ")[2].rstrip(".")
    default = named_default("misbackoff", times[0]) if len(times) == 1 else ""
    verb = "waits" if count == 1 else "wait"
    return f"{count} of {total} {'retry' if total == 1 else 'retries'} {verb} {wait}; the limit is {limit}", default


def _stalls(anomalies: Sequence[Anomaly]) -> str:
    moments = [moment for anomaly in anomalies if (moment := moment_of(anomaly))]
    longest = max(map(_stalled_ms, anomalies)) / 1000
    source = moments[0].source if moments else "api"
    many = len(anomalies) > 1
    how = f"{len(anomalies)} times, for up to" if many else "once, for"
    return f"the event loop of {source} stood still {how} {readable(longest)}"


def _stalled_ms(anomaly: Anomaly) -> float:
    moment = moment_of(anomaly)
    return float(moment.data.get("ms", 0.0)) if moment else 0.0


def _population(kind: str, anomalies: Sequence[Anomaly], history: History) -> int | None:
    noun = _WORDS.get(kind, ("",))[0]
    count = _POPULATIONS.get("retry" if kind == "misbackoff" else noun)
    return count(history, anomalies) if count else None


def _jobs(history: History, _: Sequence[Anomaly]) -> int:
    return sum(op.accepted is not None for op in history.ops.values())


def _later_jobs(history: History, _: Sequence[Anomaly]) -> int:
    healed = history.healed_at or 0
    return sum(op.invoke is not None and op.invoke.at >= healed for op in history.ops.values())


def _requests(history: History, anomalies: Sequence[Anomaly]) -> int:
    paths = {history.ops[anomaly.key].path for anomaly in anomalies if anomaly.key in history.ops}
    return sum(len(op.tries) for op in history.ops.values() if op.path in paths)


def _tasks(history: History, _: Sequence[Anomaly]) -> int:
    return len({event.task for event in history.kind("started") if event.task})


def _retries(history: History, _: Sequence[Anomaly]) -> int:
    return sum(event.data.get("countdown") is not None for event in history.kind("retry"))


def _read(history: History, _: Sequence[Anomaly]) -> int:
    return len({event.key or event.task for event in history.kind("read")})


_POPULATIONS: dict[str, Callable[[History, Sequence[Anomaly]], int]] = {
    "job": _jobs,
    "later job": _later_jobs,
    "request": _requests,
    "task": _tasks,
    "retry": _retries,
    "status": _read,
}
