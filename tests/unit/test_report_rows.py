"""What travels from a worker, and what JUnit, the summary and GitHub make of it."""

import json
from dataclasses import replace

import pytest

from brownout.check.verdict import Verdict
from brownout.history.event import Event
from brownout.history.view import History
from brownout.report import summary
from brownout.report.github import failure
from brownout.report.maps.row import Finding, Row, recovery, row
from brownout.run.result import Result
from tests.unit.report_specimens import BROKEN, FOLDER, ROOT, busy, event, result, verdict

DOUBT = verdict("unknown", "drained()", why="the drain did not end")
ROW = Row("tests/test_a.py::test_a", "valid", 7, 1.0, "store/a/1", file="tests/test_a.py", line=3)
BAD = replace(ROW, scenario="tests/test_a.py::test_b[a:b,c]", validity="invalid",
              findings=(Finding("lost", "50% of it is lost.\nReally: all, of it.", "at_least_once()"),))  # fmt: skip
NOT_JUDGED = replace(ROW, scenario="tests/test_a.py::test_p99", validity="unknown", seconds=99, attempts=3,
                     busy_ms=(65.0, 338.0, 120.0))  # fmt: skip


@pytest.mark.parametrize("trial", [result(BROKEN, DOUBT), busy(65, 338, 120)], ids=["broken", "busy"])
def test_a_row_survives_its_way_from_a_worker(trial: Result) -> None:
    there = row(trial, ROOT, "tests/test_publish.py", 12)
    assert Row.from_json(json.dumps(json.loads(there.to_json()))) == there


def test_a_trial_on_a_busy_machine_is_one_line_and_lists_no_promise() -> None:
    told = row(busy(65, 338, 120), ROOT)

    assert told.not_judged == ("not judged: test_lost_reply[cut]: the machine was busy for 65 to 338 ms, 3 attempts")
    assert told.sentence == "not judged: the machine was busy for 65 to 338 ms, 3 attempts"
    assert told.findings == ()
    assert dict(told.properties)["verdict"] == "unknown"


@pytest.mark.parametrize(
    ("ms", "expected"),
    [
        ([65.04], "65 ms, 1 attempt"),
        ([65.2, 65.4], "65.2 to 65.4 ms, 2 attempts"),
        ([0.01], "0.1 ms, 1 attempt"),
        ([338.4, 338.2], "338 ms, 2 attempts"),
        ([999.4], "999 ms, 1 attempt"),
        ([65, 1338], "0.065 to 1.34 s, 2 attempts"),
        ([1_234_567], "1230 s, 1 attempt"),
    ],
)
def test_times_have_three_digits_and_a_unit(ms: list[float], expected: str) -> None:
    assert row(busy(*ms), ROOT).busy == f"the machine was busy for {expected}"


def test_a_trial_with_another_reason_to_be_unknown_keeps_its_findings() -> None:
    waited = Verdict("unknown", "p99()", (), "the machine was busy", 65.0)

    assert row(result(waited, DOUBT), ROOT).sentence == "Unknown: the drain did not end"
    assert row(result(waited, BROKEN), ROOT).sentence == "duplicate ×1: 1 of 1 job took effect more than once"
    assert not result().busy, "nothing was judged"
    assert not row(result(waited, BROKEN), ROOT).busy
    assert not row(result(replace(waited, validity="valid", busy_ms=0)), ROOT).busy


def test_junit_is_told_the_facts() -> None:
    assert row(result(BROKEN, DOUBT), ROOT).properties == [
        ("seed", "7741"),
        ("verdict", "invalid"),
        ("anomalies", "duplicate x1"),
        ("recovery_ms", "0"),
        ("faults_fired", "cut() on api->broker"),
        ("store", "store/lost-reply/20261120T063100000000"),
    ]


def test_the_lanes_of_a_trial_that_is_not_valid_go_to_github() -> None:
    lanes = row(result(BROKEN), ROOT).lanes
    assert any(line.startswith("api      ▪") for line in lanes)
    assert max(map(len, lanes)) <= 108
    assert Row.from_json(row(result(BROKEN), ROOT).to_json()).lanes == lanes
    assert "\n".join(lanes) in failure(row(result(BROKEN), ROOT))
    assert row(result(verdict("valid", "drained()")), ROOT).lanes == ()
    assert row(busy(65), ROOT).lanes == ()


def test_the_verdict_in_one_sentence_is_the_worst_of_all() -> None:
    assert row(result(DOUBT, BROKEN), ROOT).sentence == "duplicate ×1: 1 of 1 job took effect more than once"
    assert row(result(DOUBT), ROOT).sentence == "Unknown: the drain did not end"
    assert row(result(verdict("valid", "drained()")), ROOT).sentence == "test_lost_reply[cut]: valid"
    assert row(result(BROKEN, scenario="t.py::test_x"), ROOT.parent / "elsewhere").store == str(FOLDER)


HEALED = [event(10, "nemesis", "fault-start", fault="f()"), event(100, "nemesis", "fault-stop", fault="f()")]
ASKED = [event(20, "client", "invoke", "a", op="submit"), event(30, "client", "ok", "a", "a")]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([*ASKED, event(40, "effects", "effect", "a", "a")], None),  # nothing healed
        ([*HEALED, *ASKED], None),  # nothing recovered
        ([*HEALED, *ASKED, event(40, "effects", "effect", "a", "a")], 0),
        ([*HEALED, *ASKED, event(350, "effects", "effect", "a", "a")], 250),
        ([*HEALED, *ASKED, event(400, "worker-1", "ended", "a", "a", state="SUCCESS")], 300),  # it records no effects
        ([*HEALED, *ASKED, event(300, "worker-1", "ended", "a", "a", state="SUCCESS"),
          event(450, "effects", "effect", "a", "a")], 350),
        ([*HEALED, event(200, "client", "invoke", "b", op="submit"), event(210, "client", "ok", "b", "b")], 0),
    ],
)  # fmt: skip
def test_recovery_is_from_the_healing_to_the_last_that_had_been_accepted(
    events: list[Event], expected: int | None
) -> None:
    assert recovery(History(events)) == expected


def test_the_summary_counts_every_trial() -> None:
    rows = [ROW, BAD, replace(ROW, validity="unknown", seconds=9.5, attempts=2, scenario="t.py::test_slow")]

    assert summary.title(rows) == (
        "chaos: 3 trials, 1 invalid, 1 unknown, 1 repeated because the machine was busy; slowest test_slow 9.5 s"
    )
    assert summary.title([ROW]) == "chaos: 1 trial, 0 invalid, 0 unknown; slowest test_a 1.0 s"
    expected = [replace(BAD, expected=True), replace(ROW, expected=False)]
    assert summary.counted(expected) == "2 trials, 1 invalid, 0 unknown, 1 expected by their tests"
    assert [line.split()[-1] for line in summary.slowest(rows * 3)] == ["t.py::test_slow"] * 3 + [ROW.scenario] + [
        BAD.scenario
    ]


def test_the_siblings_of_a_failed_parameter_are_named_in_natural_order() -> None:
    def trial(name: str, validity: str) -> Row:
        return replace(ROW, scenario=f"tests/test_a.py::{name}", validity=validity)

    rows = [trial(f"test_b[{n}s]", "valid") for n in (10, 9)] + [trial("test_b[stop()]", "invalid")]
    rows += [trial("test_b[cut()]", "unknown"), trial("test_c", "invalid"), trial("test_d[x]", "invalid")]
    rows += [trial("test_e[1]", "valid"), trial("test_e[2]", "unknown")]
    assert summary.siblings(rows) == ["test_b: 1 of 4 fails [stop()]; passes [9s, 10s]; not judged [cut()]"]
    many = [trial(f"test_f[{n}]", "invalid" if n < 2 else "valid") for n in range(30)]
    (line,) = summary.siblings(many)
    assert line.startswith("test_f: 2 of 30 fail [0, 1]; passes [2, 3, ")
    assert line.endswith(", 13 and 16 more]")
