"""A trial as one small value: what travels from an xdist worker, and all that the short reports need."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from brownout.check.promises.loss import finished
from brownout.history.view import History
from brownout.report.clean import clean
from brownout.run.events import Event, TrialEnded
from brownout.run.result import Result

#: Worst first.
WORST = ("invalid", "unknown", "valid")
NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Finding:
    """One anomaly in a sentence, or (kind "unknown") what kept a promise from being judged."""

    kind: str
    sentence: str
    promise: str


@dataclass(frozen=True)
class Row:
    """One trial. `scenario` is its node id, `store` relative to the root directory where it lies below it.

    `file` is relative to the root directory and `line` counts from 1. `recovery_ms` is None when nothing healed, or
    something never recovered. `faults` are those that were seen to act; `attempts` also counts the attempts that a
    busy machine made worthless. `busy_ms` is empty unless the trial could not be judged because the machine was busy;
    then the number of each attempt is the longest time in which threads may have waited for a CPU.
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

    @property
    def name(self) -> str:
        """The scenario without its file."""
        return self.scenario.rpartition("::")[2]

    @property
    def rank(self) -> int:
        """The place in a list: invalid trials first, then unknown, not judged, and valid trials."""
        return 2 * WORST.index(self.validity) + bool(self.busy_ms)

    @property
    def busy(self) -> str:
        """Why the trial could not be judged; empty unless the machine was busy."""
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
        if not self.findings:
            return f"{self.name}: {self.validity}"
        more = f" (and {len(self.findings) - 1} more)" if len(self.findings) > 1 else ""
        return f"{self.findings[0].sentence}{more}"

    @property
    def kinds(self) -> dict[str, int]:
        """How many anomalies of each kind."""
        kinds: dict[str, int] = {}
        for finding in self.findings:
            kinds[finding.kind] = kinds.get(finding.kind, 0) + 1
        return kinds

    @property
    def properties(self) -> list[tuple[str, str]]:
        """For JUnit."""
        return [
            ("seed", str(self.seed)),
            ("verdict", self.validity),
            ("anomalies", ", ".join(f"{kind} x{n}" for kind, n in self.kinds.items() if kind != "unknown")),
            ("recovery_ms", "" if self.recovery_ms is None else str(self.recovery_ms)),
            ("faults_fired", ", ".join(self.faults)),
            ("store", self.store),
        ]

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Row:
        """Read what `to_json` wrote."""
        given = json.loads(text)
        findings = tuple(Finding(**each) for each in given.pop("findings"))
        tuples = {name: tuple(given[name]) for name in ("faults", "busy_ms")}
        return cls(**given | tuples | {"findings": findings})


class Rows:
    """Keeps a Row of each trial of a test, and adds the Row's properties to the test's own, which JUnit shows."""

    def __init__(self, properties: list[tuple[str, object]], root: Path, file: str, line: int) -> None:
        self.kept: list[Row] = []
        self._properties, self._root, self._file, self._line = properties, root, file, line

    def __call__(self, event: Event) -> None:
        """See the class."""
        if isinstance(event, TrialEnded) and isinstance(event.result, Result) and not event.again:
            self.kept.append(row(event.result, self._root, self._file, self._line))
            self._properties.extend(self.kept[-1].properties)


def row(result: Result, root: Path, file: str = "", line: int = 0) -> Row:
    """What is told of a result."""
    return Row(
        scenario=result.scenario,
        validity=result.validity,
        seed=result.plan.seed,
        seconds=round(result.seconds, 3),
        store=shown(result.folder, root),
        findings=tuple(_findings(result)),
        faults=tuple(f"{each.fault} on {each.start.data.get('target', '?')}" for each in result.history.faults
                     if each.acted),
        recovery_ms=recovery(result.history),
        attempts=result.attempts,
        busy_ms=tuple(_busy_ms(result)),
        file=file,
        line=line,
    )  # fmt: skip


def shown(path: Path, root: Path) -> str:
    """The path from the root directory, or as it is where it lies elsewhere."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _busy_ms(result: Result) -> Iterable[float]:
    attempts = (*result.earlier, result) if result.busy else ()
    longest = (max((verdict.busy_ms for verdict in attempt.verdicts), default=0.0) for attempt in attempts)
    return (round(ms, 1) or 0.1 for ms in longest if ms > 0)


def between(ms: Sequence[float]) -> str:
    """`65 to 338 ms`, or `65 ms` when all numbers look the same; in seconds from one second on."""
    divisor, unit = (1, "ms") if max(ms) < 999.5 else (1000, "s")
    ends = dict.fromkeys(f"{float(f'{number / divisor:.3g}'):g}" for number in (min(ms), max(ms)))
    return f"{' to '.join(ends)} {unit}"


def _findings(result: Result) -> Iterable[Finding]:
    told = set()
    for validity in WORST[:2]:
        for verdict in result.verdicts:
            if verdict.validity != validity or verdict.busy_ms > 0:
                continue
            promise = clean(verdict.promise)
            if not verdict.anomalies:
                yield Finding("unknown", f"Unknown: {clean(verdict.why or 'nothing was judged')}", promise)
            for anomaly in verdict.anomalies:
                sentence = clean(anomaly.sentence)
                if sentence not in told:  # one lost operation breaks several promises
                    told.add(sentence)
                    yield Finding(anomaly.kind, sentence, promise)


def recovery(history: History) -> int | None:
    """Milliseconds from the last healing until all that had been accepted by then was settled; 0 when it was already.

    Settled is by its effect, or by the end of its body where the history has no effects; a failure settles, too.
    None when nothing has healed, and when something accepted was never settled.
    """
    healed, proof = history.healed_at, "effect" if history.by_kind.get("effect") else "ended"
    before = [op for op in history.ops.values() if healed is not None and op.accepted and op.accepted.at <= healed]
    ends = [finished(op, proof) for op in before]
    if healed is None or not all(ends):
        return None
    return max([0, *((end.at - healed) // 1_000_000 for end in ends if end)])
