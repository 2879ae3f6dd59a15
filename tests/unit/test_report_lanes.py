# ruff: noqa: E501 - a drawn line is as long as it is
"""The lanes of a failure, drawn: what became of each process, the faults, the queue, and the first errors of logs."""

from dataclasses import replace

import pytest

from brownout.check.promises import at_least_once
from brownout.report.facts.failure import Failure
from brownout.report.facts.logs import LogLine
from brownout.report.text.lanes import COLUMNS, drawn, lanes_of
from tests.unit.test_report_facts import begun, over, told

LOGS = (
    LogLine("worker-1", 7, "[2026-11-20 06:31:00,000: ERROR/MainProcess] gone", 1_200_000_000, "OSError: x", "app/x.py:3 f"),
    LogLine("worker-2", 8, "CRITICAL: full", None, "OSError: y"),
    LogLine("api", 1, "Exception in thread"),
)  # fmt: skip
ALL = """\
         +0                                +3.9 s
fault    ············█···························  cut() on api->broker, at +1.2 s
fault    ··············██████████████████████████  refuse() on worker->broker, from +1.4 s, never healed
fault    ···············█████····················  stop() on worker-2, +1.5 s to +1.9 s, never seen to act
api      ▪·······································  alive, 0 restarts, silent for 3.88 s from +20 ms, last event +20 ms
worker-1 ▪···×▪× ▪·······························  alive, died 2 times, last at +600 ms (exit code 3; it asked for a restart), \
2 restarts, silent for 3.1 s from +800 ms, last event +800 ms
worker-2 ···············░░░░░····················  alive, 0 restarts, silent for 2.3 s from +1.6 s, last event +1.6 s
worker-3 ·········×                                ended at +900 ms (signal 250; no fault), 0 restarts, silent for 900 ms from +0 ms
worker-4 ▪··×                                      ended at +300 ms (SIGKILL; a fault), 0 restarts, silent for 290 ms from +10 ms, \
last event +10 ms
queue             ▁▁▁▁▂▂▃▃▄▄▅▅▆▆▇▇███▁▁▁▁▁▁▁▁▁▁▁▁  queued at most 8, unacked at most 1; 1 and 0 at the end
worker-1.log:7 +1.1 s  OSError: x in app/x.py:3 f ← ERROR/MainProcess] gone
worker-2.log:8  OSError: y ← CRITICAL: full
api.log:1  Exception in thread"""


@pytest.fixture
def found() -> Failure:
    """Two deaths of worker-1, one of worker-3 and of worker-4; a fault of an instant, one that never healed, and one that
    was not seen to act."""
    story = begun()
    story.say(110, "worker-4", "ready")
    story.say(400, "worker-4", "exit", code=-9, struck=True)
    story.say(500, "worker-1", "exit", code=-9, struck=True)
    story.say(600, "worker-1", "ready")
    story.say(700, "worker-1", "exit", code=3, struck=False, orderly=True)
    story.say(900, "worker-1", "ready")
    story.say(1_000, "worker-3", "exit", code=-250)
    story.fault(1_300, 1_302, "cut()")
    story.events[-3] = replace(story.events[-3], data={"fault": "cut()", "target": "api->broker"})
    story.say(1_500, "nemesis", "fault-start", fault="refuse()", target="worker->broker")
    story.say(1_501, "nemesis", "fault-acted", fault="refuse()", evidence="refused")
    story.say(1_600, "nemesis", "fault-start", fault="stop()", target="worker-2")
    story.say(1_700, "worker-2", "ready")
    story.say(2_000, "nemesis", "fault-stop", fault="stop()")
    for n in range(10):
        story.sample(1_000 + 200 * n, **{f"t-{i}": "celery" for i in range(n % 9)}, **{"t-9": "unacked"})
    return told(over(story, 4_000, {"t-1": "celery"}), at_least_once())


def test_all_lanes(found: Failure) -> None:
    assert "\n".join(drawn(found.lanes, LOGS, (), 9)) == ALL


@pytest.mark.parametrize(
    ("first", "most", "shown"),
    [
        ((), 3, "fault and-2-more-faults worker-1 worker-3 worker-4 and-2-more-processes"),
        ((), 4, "fault fault and-1-more-fault worker-1 worker-2 worker-3 worker-4 and-1-more-process"),
        (("api",), 2, "fault and-2-more-faults api worker-1 and-3-more-processes"),
        (("worker-2", "api"), 1, "fault and-2-more-faults worker-2 and-4-more-processes"),
        ((), 5, "fault fault and-1-more-fault api worker-1 worker-2 worker-3 worker-4"),
    ],
)
def test_what_is_left_out_is_counted_and_what_matters_comes_first(
    found: Failure, first: tuple[str, ...], most: int, shown: str
) -> None:
    lines = [line.strip() for line in list(drawn(found.lanes, (), first, most))[1:-1]]
    assert " ".join(line.replace(" ", "-") if line[:4] == "and " else line.split()[0] for line in lines) == shown


def test_the_process_of_the_cause_comes_first_and_no_line_is_too_long(found: Failure) -> None:
    whole = ALL.splitlines()[:-3]
    assert [line if len(line) <= COLUMNS else f"{line[: COLUMNS - 1]}…" for line in whole] == lanes_of(found, 9, 0)
    story = begun()
    story.post(200, "op-2", "t-2")
    lost = told(over(story, 3_000), at_least_once())
    assert lost.cause is not None
    assert lost.cause.event is not None
    assert lost.where is not None
    named = replace(found, cause=replace(lost.cause, event=replace(lost.cause.event, source="worker-2")))
    assert any(line.startswith("worker-2") for line in lanes_of(named, 1, 0))
    held = replace(found, where=replace(lost.where, holder="api"))
    assert any(line.startswith("api") for line in lanes_of(held, 1, 0))
    assert lanes_of(replace(found, lanes=replace(found.lanes, processes=())), 9, 9) == []
