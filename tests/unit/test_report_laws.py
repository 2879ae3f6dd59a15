"""What must hold of the text of every failure, whatever the history says."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brownout.check.registry import judge_all
from brownout.check.verdict import Verdict
from brownout.history.event import ALL_KINDS, Event
from brownout.history.view import History
from brownout.plan.plan import Plan
from brownout.plan.promise import Promise
from brownout.report.facts.failure import facts
from brownout.report.terminal import LONGEST, failure
from brownout.run.result import Result
from tests.unit.check_specimens import PLANTED, PROMISED, Plant, Story, healthy
from tests.unit.report_specimens import FOLDER, ROOT

AGAIN = ("brownout replay store/a/1", "pytest tests/test_a.py::test_a --chaos-seed=7")
CASES = [pytest.param(*case, id=f"{case[0].name}-{case[1]}-{n}") for n, case in enumerate(PLANTED)]
#: A time in a block of the text: digits, at most one point, a unit. Sentences of checkers may need more digits.
TIME = re.compile(r"(?<![\w.])([+-]?\d[\d.]*) (?:ms|s)\b")
#: Made here, because Hypothesis draws the constants that it finds in the modules of the tests.
SECRET = "-".join(("hunter", "of", "laws"))


def result(history: History, *verdicts: Verdict) -> Result:
    return Result("tests/test_a.py::test_a[cut]", Plan(seed=7), verdicts, history, FOLDER, 1.0)


def digits(number: str) -> int:
    """The significant digits of a number."""
    return len(number.lstrip("+-").replace(".", "").strip("0"))


def holds(text: str) -> None:
    """The laws of a text."""
    lines = text.splitlines()
    assert len(lines) <= LONGEST
    assert SECRET not in text
    assert "\x1b" not in text
    assert all(not line or line.startswith(("✗", "?", "not judged", "  ")) for line in lines), "an event forged a line"
    assert sum("←" in line for line in lines) <= 1
    start = next((n for n, line in enumerate(lines) if line.startswith(("  Where", "  Lanes"))), len(lines))
    end = next(n for n, line in enumerate(lines) if line.startswith("  Again"))
    for line in lines[start:end]:
        assert all(digits(number) <= 3 for number in TIME.findall(line)), line


@pytest.mark.parametrize(("promise", "kind", "plant"), CASES)
def test_every_kind_of_anomaly_has_a_text(promise: Promise, kind: str, plant: Plant) -> None:
    history = plant(healthy())
    verdicts = judge_all(history, [promise, *PROMISED.values()])
    trial = result(history, *verdicts)
    text = failure(trial, AGAIN, ROOT)
    holds(text)
    found = facts(trial)
    assert found.lead is not None
    assert found.lead.root.count >= 1
    assert found.headline in text
    assert found.short.startswith(f"{found.lead.root.kind} ×{found.lead.root.count}: ")
    alone = facts(result(history, *judge_all(history, [promise])))
    assert alone.lead is not None
    assert alone.lead.root.kind == kind
    if alone.cause and alone.cause.event:
        assert alone.cause.event.kind not in ("drained", "settled", "phase"), "what ends a trial is no cause"


TEXTS = st.one_of(
    st.text(max_size=30), st.sampled_from([f"redis://:{SECRET}@h/0", f"password={SECRET}", "\x1b[31m", "a\u2028b"])
)
SOURCES = st.sampled_from(["client", "api", "relay", "worker-1", "worker-2", "worker-11", "effects", "broker", "run"])
NUMBERS = st.integers(0, 10**6) | st.floats(0, 1e6)
DATA = st.fixed_dictionaries({}, optional={
    "op": st.just("http"), "method": st.sampled_from(["GET", "POST"]), "path": TEXTS, "name": TEXTS, "error": TEXTS,
    "status": st.sampled_from([200, 202, 404, 500]),
    "state": st.sampled_from(["PENDING", "STARTED", "SUCCESS", "FAILURE"]),
    "ok": st.booleans(), "redelivered": st.booleans(), "struck": st.booleans(), "to": TEXTS, "evidence": TEXTS,
    "fault": st.sampled_from(["kill()", "stop()", "cut()", "latency(delay=1)"]),
    "target": st.sampled_from(["api", "worker-1"]),
    "id": st.sampled_from("abcdef"), "body": st.just(SECRET), "result": st.just(SECRET), "args": st.just(SECRET),
})  # fmt: skip


@st.composite
def events(draw: st.DrawFn) -> Event:
    """An event of any kind, with the data that every event of its kind has, and with anything else."""
    kind = draw(st.sampled_from(sorted(ALL_KINDS)))
    task = draw(st.none() | st.sampled_from(["t-1", "t-2", "t-3"]) | TEXTS)
    place = draw(st.sampled_from(["celery", "unacked", "nobody"]))
    needed: dict[str, dict[Any, Any]] = {
        "sample": {"queues": {"celery": draw(st.integers(0, 9))}, "unacked": 1, "unacked_index": 1,
                   "by_task": {task: place} if task else {}},
        "stall": {"ms": draw(st.floats(0, 1e5)), "stack": [draw(TEXTS)], "own": draw(TEXTS)},
        "starved": {"ms": draw(st.floats(0, 1e5))}, "machine-late": {"ms": 1},
        "exit": {"code": draw(st.integers(-70, 9))},
        "waited": {"ms": {"api": 1.0}, "since": 0}, "retry": {"countdown": draw(NUMBERS), "retries": 1},
        "started": {"retries": draw(st.integers(0, 9))},
        "drained": {"seconds": 1.0, "busy": 0.0, "limit": 1.0, "recovery": 0},
        "row": {draw(TEXTS): draw(TEXTS)}, "consumes": {"why": "", "ok": True}, "stored": {"states": []},
    }  # fmt: skip
    data = {**draw(DATA), **needed.get(kind, {})}
    key = draw(st.none() | st.sampled_from(["op-1", "op-2", "op-10", "probe"]) | TEXTS)
    return Event(draw(st.integers(0, 10**11)), draw(SOURCES), kind, key, task, draw(st.integers(0, 9)), data)


@settings(max_examples=60, deadline=None)
@given(st.lists(events(), max_size=60), st.integers(0, 3))
def test_every_text_is_short_and_safe(made: list[Event], copies: int) -> None:
    history = History([event for event in made for _ in range(copies + 1)])
    # Checkers may stumble over events that no witness writes: a verdict is then unknown, and has a text as well.
    verdicts = judge_all(history, PROMISED.values()) if made else (Verdict("unknown", "drained()", (), "nothing"),)
    holds(failure(result(history, *verdicts), AGAIN, ROOT))
    moved = History([replace(event, at=event.at + 10**15) for event in history])
    holds(failure(result(moved, *judge_all(moved, PROMISED.values())), AGAIN, ROOT))


COUNTS = ("workers", "faults", "deliveries", "reasons", "exits", "logs")


def crowded(folder: Path, workers: int, faults: int, deliveries: int, reasons: int, exits: int, logs: int) -> Result:
    """A job that is lost after so many deliveries, with so much of everything else that a report shows."""
    story = Story()
    story.say(0, "run", "phase", name="load")
    story.post(1, "op-1", "t-1")
    story.post(2, "op-2", "t-2")
    story.run(3, "t-2")
    for n in range(faults):
        story.say(10 + n, "nemesis", "fault-start", fault=f"f{n}()", target="broker", id=f"f#{n}")
        story.say(11 + n, "nemesis", "fault-acted", fault=f"f{n}()", id=f"f#{n}", evidence="x")
    for n in range(1, workers + 1):
        story.say(20, f"worker-{n}", "ready", conf={"celery": {"x": 1}})
        if n <= exits:
            story.say(30, f"worker-{n}", "exit", code=n)
    for n in range(deliveries):
        story.say(100 + 9 * n, "relay", "publish", task="t-1", to="celery")
        story.say(101 + 9 * n, "relay", "published", task="t-1", to="celery")
        story.deliver(102 + 9 * n, "t-1")
        story.retry(103 + 9 * n, "t-1", retries=n)
    story.say(9_000, "store", "row", task="t-1", state="PENDING")
    story.sample(9_100)
    story.sample(9_200)
    story.say(9_300, "run", "drained", ok=True)
    story.say(9_400, "client", "read", "op-1", "t-1", state="PENDING")
    (folder / "log").mkdir(exist_ok=True)
    for n in range(10):
        (folder / "log" / f"part-{n}.log").write_text("ERROR: x\n" if n < logs else "")
    unknown = [Verdict("unknown", f"promise_{n}()", (), f"reason {n}") for n in range(reasons)]
    trial = result(story.history, *judge_all(story.history, [PROMISED["at_least_once"], PROMISED["drained"]]), *unknown)
    return replace(trial, folder=folder, earlier=(trial, trial))


@pytest.mark.parametrize("many", [0, 1, 3, 6, 40])
@pytest.mark.parametrize("most", [*COUNTS, "all"])
def test_no_text_is_longer_than_a_screen(tmp_path: Path, most: str, many: int) -> None:
    trial = crowded(tmp_path, **{name: many if most in (name, "all") else 2 for name in COUNTS})
    text = failure(trial, AGAIN, tmp_path)
    holds(text)
    if many >= 6 and most in ("deliveries", "all"):
        assert "; all of them are in history.ndjson" in text


def test_facts_of_ten_times_the_events_cost_at_most_twelve_times_as_much() -> None:
    def seconds(scale: int) -> float:
        history = healthy(scale)
        lost = History([event for event in history if not (event.kind == "effect" and str(event.task).endswith("7"))])
        verdicts = judge_all(lost, [PROMISED["at_least_once"], PROMISED["at_most_once"]])
        trial = result(lost, *verdicts)
        begin = time.process_time()
        failure(trial, AGAIN, ROOT)
        return time.process_time() - begin

    seconds(1)  # imports, and the caches of regular expressions
    small, large = (min(seconds(scale) for _ in range(2)) for scale in (4, 40))
    assert large <= 12 * max(small, 0.01), f"{large:.3f} s, {small:.3f} s"
