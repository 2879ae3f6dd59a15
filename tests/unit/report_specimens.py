"""A trial's result by hand."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from brownout.check.verdict import Anomaly, Validity, Verdict
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.plan import Plan
from brownout.run.result import Result

ROOT = Path("/project")
FOLDER = ROOT / "store" / "lost-reply" / "20261120T063100000000"
SCENARIO = "tests/test_publish.py::test_lost_reply[cut]"
TASK = "task-1aa"


def event(at: float, source: str, kind: str, key: str | None = None, task: str | None = None, **data: object) -> Event:
    """`at` in milliseconds."""
    return Event(int(at * 1_000_000), source, kind, key, task, 7, data)


INVOKE = event(1000, "client", "invoke", "op-3", op="http", method="POST", path="/process?token=hush", json="{payload}")
OK = event(1012, "client", "ok", "op-3", TASK, status=202, body="{payload}")
ONCE = event(1200, "effects", "effect", "op-3", TASK, name="processed", value="{payload}")
TWICE = event(1650, "effects", "effect", "op-3", TASK, name="processed", value="{payload}")
START = event(900, "nemesis", "fault-start", fault="cut()", id="cut#1", target="api->broker")
ACTED = event(1008, "nemesis", "fault-acted", fault="cut()", id="cut#1", evidence="1 connection closed")
STOP = event(1500, "nemesis", "fault-stop", fault="cut()", id="cut#1")
LATER = (
    event(9000, "nemesis", "fault-start", fault="kill()", id="kill#2", target="worker-1"),
    event(9100, "nemesis", "fault-stop", fault="kill()", id="kill#2"),
)
WITNESS = (INVOKE, OK, ONCE, TWICE)


def duplicate(sentence: str = "Operation op-3 took effect 2 times.", witness: Sequence[Event] = WITNESS) -> Anomaly:
    return Anomaly("duplicate", sentence, "op-3", TASK, tuple(witness))


def verdict(validity: Validity, promise: str, *anomalies: Anomaly, why: str = "") -> Verdict:
    return Verdict(validity, promise, anomalies, why)


def result(*verdicts: Verdict, events: Sequence[Event] = (), scenario: str = SCENARIO, seconds: float = 3.2) -> Result:
    history = History([*WITNESS, START, ACTED, STOP, *LATER, *events])
    return Result(scenario, Plan(seed=7741), verdicts, history, FOLDER, seconds)


def busy(*ms: float) -> Result:
    """A trial that was not judged because the machine was busy: the milliseconds of its attempts, the last one last."""
    attempts = [
        replace(
            result(
                *(Verdict("unknown", f"p99_{n}()", (), "the machine was busy", each * (1 - n / 10)) for n in range(2))
            ),
            folder=FOLDER.with_name(f"attempt-{number}"),
        )
        for number, each in enumerate(ms, 1)
    ]
    return replace(attempts[-1], earlier=tuple(attempts[:-1]))


BROKEN = verdict("invalid", "effectively_once(by='key')", duplicate())
