"""A trial as one small value, which an xdist worker sends to the controller, and which the short reports use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from brownout.check.promises.loss import finished
from brownout.history.view import History
from brownout.report.clean import clean
from brownout.report.facts.failure import facts
from brownout.report.text.lanes import lanes_of
from brownout.run.events import Event, TrialEnded
from brownout.run.result import Result

#: All possible verdicts on a trial, the worst first.
WORST = ("invalid", "unknown", "valid")
NOT_JUDGED = "not judged"
LONGEST = 160  # characters of a row's cause
PROCESSES, LOGS = 4, 2  # processes and lines of logs among the lanes of a row


@dataclass(frozen=True)
class Finding:
    """One anomaly in a sentence, or (kind "unknown") the reason why a promise could not be judged."""

    kind: str
    sentence: str
    promise: str


@dataclass(frozen=True)
class Row:
    """One trial. `scenario` is the test's node id; `store` is the trial's folder.

    `store` and `file` are relative to pytest's root directory where they lie below it; `line` counts from 1. The
    function `recovery` explains the field `recovery_ms`. `faults` has the faults that had a visible effect. `attempts`
    also counts the attempts that could not be judged because the machine was busy. `busy_ms` is empty unless no attempt
    could be judged; then it has, for each attempt, the longest time in milliseconds in which threads may have waited
    for a CPU. `expected`: the test passed although the trial is not valid, as the test looks for an anomaly. `cause` is
    the root anomaly, how often it came, and its cause, in one line: "late ×14: worker-1 stopped consuming". `lanes` are
    those of the terminal's text, if the trial is not valid.
    """

    scenario: str
    validity: str
    seed: int
    seconds: float
    store: str
    findings: tuple[Finding, ...] = ()
    faults: tuple[str, ...] = ()
    recovery_ms: int | None = None
    attempts: int = 1
    busy_ms: tuple[float, ...] = ()
    file: str = ""
    line: int = 0
    expected: bool = False
    cause: str = ""
    lanes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The test's node id without its file."""
        return self.scenario.rpartition("::")[2]

    @property
    def rank(self) -> int:
        """The key for sorting: invalid trials come first, then unknown, not judged, and valid trials."""
        return 2 * WORST.index(self.validity) + bool(self.busy_ms)

    @property
    def busy(self) -> str:
        """How long the machine was busy, when the trial could not be judged because of that; else empty."""
        attempts = f"{self.attempts} attempt{'' if self.attempts == 1 else 's'}"
        return f"the machine was busy for {between(self.busy_ms)}, {attempts}" if self.busy_ms else ""

    @property
    def not_judged(self) -> str:
        """The line for a trial that could not be judged because the machine was busy."""
        return f"{NOT_JUDGED}: {clean(self.name)}: {self.busy}"

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        if self.busy:
            return f"{NOT_JUDGED}: {self.busy}"
        if self.cause:
            return self.cause
        if not self.findings:
            return f"{self.name}: {self.validity}"
        more = f" (and {len(self.findings) - 1} more)" if len(self.findings) > 1 else ""
        return f"{self.findings[0].sentence}{more}"

    @property
    def kinds(self) -> dict[str, int]:
        """The number of anomalies of each kind."""
        kinds: dict[str, int] = {}
        for finding in self.findings:
            kinds[finding.kind] = kinds.get(finding.kind, 0) + 1
        return kinds

    @property
    def properties(self) -> list[tuple[str, str]]:
        """The names and values of the trial's JUnit properties."""
        return [
            ("seed", str(self.seed)),
            ("verdict", self.validity),
            ("anomalies", ", ".join(f"{kind} x{n}" for kind, n in self.kinds.items() if kind != "unknown")),
            ("recovery_ms", "" if self.recovery_ms is None else str(self.recovery_ms)),
            ("faults_fired", ", ".join(self.faults)),
            ("store", self.store),
        ]

    def to_json(self) -> str:
        """The trial as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Row:
        """Make a row from the JSON text that `to_json` wrote."""
        fields = json.loads(text)
        findings = tuple(Finding(**finding) for finding in fields.pop("findings"))
        tuples = {name: tuple(fields[name]) for name in ("faults", "busy_ms", "lanes")}
        return cls(**fields | tuples | {"findings": findings})


class Rows:
    """Keeps a `Row` for each trial of a test, and adds the row's properties to `properties`, which JUnit shows."""

    def __init__(self, properties: list[tuple[str, object]], root: Path, file: str, line: int) -> None:
        self.kept: list[Row] = []
        self._properties, self._root, self._file, self._line = properties, root, file, line

    def __call__(self, event: Event) -> None:
        """Keep the trial of a `TrialEnded`, unless another attempt follows."""
        if isinstance(event, TrialEnded) and isinstance(event.result, Result) and not event.again:
            self.kept.append(row(event.result, self._root, self._file, self._line))
            self._properties.extend(self.kept[-1].properties)


def row(result: Result, root: Path, file: str = "", line: int = 0) -> Row:
    """The row for a result; `root` is pytest's root directory, `file` and `line` are the test's."""
    found = None if result.validity == WORST[2] else facts(result)
    return Row(
        scenario=result.scenario,
        validity=result.validity,
        seed=result.plan.seed,
        seconds=round(result.seconds, 3),
        store=shown(result.folder, root),
        findings=tuple(_findings(result)),
        faults=tuple(f"{fault.fault} on {fault.start.data.get('target', '?')}" for fault in result.history.faults
                     if fault.acted),
        recovery_ms=recovery(result.history),
        attempts=result.attempts,
        busy_ms=tuple(_busy_ms(result)),
        file=file,
        line=line,
        cause=clean(found.short, LONGEST) if found and result.validity == WORST[0] else "",
        lanes=tuple(lanes_of(found, PROCESSES, LOGS)) if found and not result.busy else (),
    )  # fmt: skip


def shown(path: Path, root: Path) -> str:
    """The path relative to `root`; unchanged when the path is not below `root`."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _busy_ms(result: Result) -> Iterable[float]:
    attempts = (*result.earlier, result) if result.busy else ()
    longest = (max((verdict.busy_ms for verdict in attempt.verdicts), default=0.0) for attempt in attempts)
    return (round(ms, 1) or 0.1 for ms in longest if ms > 0)


def between(ms: Sequence[float]) -> str:
    """The least and the greatest of times in ms as text: "65 to 338 ms", or "65 ms" when both look the same."""
    divisor, unit = (1, "ms") if max(ms) < 999.5 else (1000, "s")
    ends = dict.fromkeys(f"{float(f'{number / divisor:.3g}'):g}" for number in (min(ms), max(ms)))
    return f"{' to '.join(ends)} {unit}"


def _findings(result: Result) -> Iterable[Finding]:
    sentences = set()
    for validity in WORST[:2]:
        for verdict in result.verdicts:
            if verdict.validity != validity or verdict.busy_ms > 0:
                continue
            promise = clean(verdict.promise)
            if not verdict.anomalies:
                yield Finding("unknown", f"Unknown: {clean(verdict.why or 'nothing was judged')}", promise)
            for anomaly in verdict.anomalies:
                sentence = clean(anomaly.sentence)
                if sentence not in sentences:  # one lost operation can break several promises
                    sentences.add(sentence)
                    yield Finding(anomaly.kind, sentence, promise)


def recovery(history: History) -> int | None:
    """Milliseconds from the last healing until all operations accepted before it had finished; at least 0.

    An operation finishes with its effect or its failure. If the history has no effects, the end of a task's body counts
    as its effect. The result is None when no fault healed, and when an accepted operation never finished.
    """
    healed, proof = history.healed_at, "effect" if history.by_kind.get("effect") else "ended"
    accepted = [op for op in history.ops.values() if healed is not None and op.accepted and op.accepted.at <= healed]
    ends = [finished(op, proof) for op in accepted]
    if healed is None or not all(ends):
        return None
    return max([0, *((end.at - healed) // 1_000_000 for end in ends if end)])
