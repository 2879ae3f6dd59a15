"""A failure is read from top to bottom: what broke, what led to it, where the job is, what proves it, what to type."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from brownout.check.verdict import Anomaly, Verdict
from brownout.report.terminal import failure, fitted, style
from brownout.run.result import Result
from brownout.run.store import Store, new_run
from tests.unit.report_specimens import BROKEN, INVOKE, ROOT, TASK, WITNESS, busy, duplicate, event, result, verdict

AGAIN = ("brownout replay store/a/1", "pytest 'tests/test_publish.py::test_lost_reply[cut]' --chaos-seed=7741")


def test_a_failure_reads_as_promised() -> None:
    begun = event(1020, "worker-1", "received", task=TASK)
    again = event(1300, "worker-2", "received", task=TASK, redelivered=True)
    row = event(9150, "store", "row", task=TASK, state="SUCCESS", attempts=2)
    sample = event(9120, "broker", "sample", queues={"celery": 0}, unacked=0, by_task={})

    text = failure(result(verdict("valid", "drained()"), BROKEN, events=[begun, again, row, sample]), AGAIN, ROOT)

    assert text.splitlines() == [
        "✗ test_lost_reply[cut]  invalid · duplicate ×1 · seed 7741 · 3.2 s",
        "  1 of 1 job took effect more than once after cut() on api->broker",
        "",
        "  Cause     worker-2 received op-3 again 280 ms later while worker-1 still had it and was alive",
        "  Promise   effectively_once(by='key')",
        "            Operation op-3 took effect 2 times.",
        "",
        "  Where     op-3, task task-1aa, at the end of the trial (+8.25 s)",
        "            row      state SUCCESS, attempts 2",
        "            broker   in no queue and not unacked (all messages: celery 0, unacked 0)",
        "            worker   received 2 times, last by worker-2 at +400 ms; it took effect 2 times;"
        " worker-2 still has it, and is alive",
        "",
        "  Lanes              +0                               +8.25 s",
        "            fault    █·······································  cut() on api->broker, at +0 ms",
        "            fault    ·······································█"
        "  kill() on worker-1, at +8.1 s, never seen to act",
        "            api      ▪·······································"
        "  alive, 0 restarts, silent for 8.14 s from +112 ms, last …",
        "            worker-1 ▪·······································"
        "  alive, 0 restarts, silent for 8.13 s from +120 ms, last …",
        "            worker-2 ·▪······································"
        "  alive, 0 restarts, silent for 7.85 s from +400 ms, last …",
        "            queue                                              queued at most 0, unacked at most 0;"
        " 0 and 0 at the end",
        "",
        "  Events      +0 ms ┬ nemesis   cut() on api->broker begins",
        "            +100 ms │ client    invoke POST /process op-3",
        "            +108 ms ┿ nemesis   cut() acted: 1 connection closed",
        "            +112 ms │ client    ok op-3 task task-1aa status=202",
        "            +120 ms │ worker-1  received task task-1aa",
        "            +300 ms │ effects   effect processed op-3 task task-1aa",
        "            +400 ms │ worker-2  received task task-1aa again (redelivered)   ← delivered a second time",
        "            +600 ms ┴ nemesis   cut() healed",
        "            +750 ms   effects   effect processed op-3 task task-1aa",
        "",
        f"  Again     {AGAIN[0]}",
        f"            {AGAIN[1]}",
        "  Store     store/lost-reply/20261120T063100000000",
    ]


def test_an_anomaly_that_breaks_two_promises_is_told_once() -> None:
    text = failure(result(verdict("invalid", "at_most_once()", duplicate()), BROKEN), AGAIN, ROOT)

    assert text.count("took effect more than once") == 1
    assert "duplicate ×1" in text
    assert "            Operation op-3 took effect 2 times.\n  Also      broken: effectively_once\n" in text


def test_many_anomalies_of_a_kind_are_one_example_and_a_tally() -> None:
    many = [replace(duplicate(), key=f"op-{n}") for n in range(3, 12)]
    text = failure(result(verdict("invalid", "at_most_once()", *many)), AGAIN, ROOT)

    assert "  9 of 9 jobs took effect more than once after " in text
    assert "  Where     op-3, " in text
    assert "duplicate ×9" in text


def test_an_anomaly_with_another_cause_is_one_line() -> None:
    slow = Anomaly("slowed", "/process got slow.", witness=(INVOKE,))
    text = failure(result(verdict("invalid", "p99()", slow), BROKEN), AGAIN, ROOT)
    assert "  Also      /process got slow (slowed)\n" in text
    assert text.splitlines()[0].startswith("✗ test_lost_reply[cut]  invalid · duplicate ×1 · slowed ×1 · ")


def test_what_is_unknown_says_why_once_for_all_its_promises() -> None:
    why = verdict("unknown", "drained()", why="the relay did not answer for 1200 ms")
    text = failure(result(why, replace(why, promise="nothing_stuck()")), AGAIN[1:], ROOT)

    assert text.startswith("? test_lost_reply[cut]  unknown · seed 7741")
    assert text.count("Unknown: the relay did not answer for 1200 ms") == 1
    assert "  Promise   drained(), nothing_stuck()\n" in text
    assert "  Lanes " in text


def test_anomalies_that_a_promise_expected_are_no_part_of_the_failure() -> None:
    shown = verdict("valid", "must_show(kind='lost')", duplicate("Operation op-1 is lost."))
    text = failure(result(shown, BROKEN), AGAIN, ROOT)

    assert "op-1 " not in text
    assert "duplicate ×1" in text


def test_attempts_that_the_machine_made_worthless_are_named() -> None:
    text = failure(replace(result(BROKEN), earlier=(busy(65), busy(338))), AGAIN, ROOT)

    assert text.splitlines()[0].endswith("· attempt 3; the machine was busy during earlier attempts")
    assert text.splitlines()[-2:] == [
        "            store/lost-reply/attempt-1 (attempt 1)",
        "            store/lost-reply/attempt-1 (attempt 2)",
    ]


def test_a_trial_on_a_busy_machine_is_one_line_with_what_to_type_and_the_store() -> None:
    assert failure(busy(65, 338), AGAIN, ROOT).splitlines() == [
        "not judged: test_lost_reply[cut]: the machine was busy for 65 to 338 ms, 2 attempts",
        f"  Again     {AGAIN[1]}",
        "  Store     store/lost-reply/attempt-2",
        "            store/lost-reply/attempt-1 (attempt 1)",
    ]


def test_a_failure_counts_the_promises_that_a_busy_machine_left_in_doubt() -> None:
    waited = Verdict("unknown", "p99()", (), "the API waited for a CPU", 65.4)
    reason = verdict("unknown", "drained()", why="the drain did not end")

    broken = failure(result(BROKEN, waited, replace(waited, busy_ms=338.0)), AGAIN, ROOT)
    assert "\n  Not judged because the machine was busy for 338 ms: 2 promises\n" in broken
    unknown = failure(result(reason, waited), AGAIN, ROOT)
    assert unknown.startswith("? test_lost_reply[cut]  unknown · ")
    assert "  Unknown: the drain did not end\n  Promise   drained()\n" in unknown
    assert "  Not judged because the machine was busy for 65.4 ms: 1 promise\n" in unknown
    assert "p99" not in broken + unknown


def test_a_process_that_no_fault_ended_is_named_below_what_broke() -> None:
    exits = [event(1100 + n, "worker-1", "exit", code=1, ended=n) for n in range(2)]
    exits += [event(1300, "api", "exit", code=-11, ended=9), event(1400, "api", "exit", code=-99, ended=10)]
    explained = [
        event(1310, "relay", "exit", code=-9, struck=True),
        event(1320, "relay", "exit", code=70, orderly=True),
    ]

    lines = failure(result(BROKEN, events=[*exits[:3], *explained]), AGAIN, ROOT).splitlines()
    assert lines[2] == (
        "  api ended by SIGSEGV, and no fault ended it; worker-1 ended 2 times with exit code 1, and no fault ended it"
    )
    assert "by signal 99" in failure(result(BROKEN, events=exits[3:]), AGAIN, ROOT)
    assert "no fault ended" not in failure(result(BROKEN, events=explained), AGAIN, ROOT)


def test_no_body_and_no_secret_is_shown(tmp_path: Path) -> None:
    hidden = "redis://:hunter2@10.0.0.1:6379/0\x1b[31m\nok"
    error = event(1300, "api", "raised", error=f"no answer from {hidden}", value="{payload}", path=f"/{hidden}")
    row = event(9150, "store", "row", task=TASK, note=f"{hidden} password='hunter2'")
    words = duplicate("Operation op-3 broke: amqp://user:p/w@rd@host and password='hunter2'.", (*WITNESS, error))
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "api.log").write_text(f"ERROR: {hidden} token=hunter2\n")

    for kind in ("duplicate", "unhandled", "missing"):
        broken = verdict("invalid", "at_most_once()", replace(words, kind=kind))
        text = failure(replace(result(broken, events=[error, row]), folder=tmp_path), AGAIN, ROOT)
        assert "://***@10.0.0.1:6379/0" in text
        for secret in ("hunter2", "p/w", "hush", "payload", "\x1b", "\r"):
            assert secret not in text
        assert all(line.startswith(("✗", "  ")) or not line for line in text.splitlines()), "an event forged a line"


def test_more_faults_than_there_are_bars_are_counted() -> None:
    crowd = [event(950 + n, "nemesis", "fault-start", fault=f"f{n}()", id=f"f{n}", target="broker") for n in range(5)]
    text = failure(result(BROKEN, events=crowd), AGAIN, ROOT)

    assert "after cut() on api->broker, f0() on broker, which never healed and 4 more faults" in text
    assert "            and 4 more faults\n" in text
    assert " │││ " in text
    assert "││││" not in text


def test_logs_and_page_are_named_when_they_are_there(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "worker-1.log").touch()
    trial = replace(result(BROKEN), folder=tmp_path)
    assert failure(trial, AGAIN, tmp_path.parent).splitlines()[-1] == "  Logs      in the store, log/: worker-1.log"
    (tmp_path / "report.html").touch()
    assert failure(trial, AGAIN, tmp_path.parent).splitlines()[-1] == f"  Page      {tmp_path.name}/report.html"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("✗ test_x  invalid", {"red": True, "bold": True}),
        ("? test_x  unknown", {"yellow": True, "bold": True}),
        ("not judged: test_x: the machine was busy", {"yellow": True, "bold": True}),
        ("  7 of 17 jobs are lost after flush() on broker", {"bold": True}),
        ("  Unknown: nothing was judged", {"bold": True}),
        ("  Cause     worker-1 stopped consuming", {"bold": True}),
        ("            +0 ms │ client   ok op-3", {}),
        ("  Promise   drained()", {}),
        ("  Lanes     +0", {}),
        ("  Again     pytest x", {}),
        ("", {}),
    ],
)
def test_what_broke_stands_out(line: str, expected: dict[str, bool]) -> None:
    assert style(line) == expected


@pytest.mark.parametrize("columns", [40, 120])
def test_lanes_and_lines_of_logs_are_cut_at_the_width_of_the_terminal(tmp_path: Path, columns: int) -> None:
    """Other lines are not cut, so that commands can be copied."""
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "api.log").write_text(f"ERROR: {'x' * 200}\n")
    whole = failure(replace(result(BROKEN), folder=tmp_path), AGAIN, ROOT).splitlines()
    begin = next(n for n, line in enumerate(whole) if line.startswith("  Lanes"))
    end = whole.index("", begin)
    assert max(map(len, whole[begin:end])) == 120
    assert any(line.endswith("…") and "api.log:1" in line for line in whole[begin:end])
    shown = [*fitted(whole, columns)]
    assert max(map(len, shown[begin:end])) == columns
    assert (shown[:begin], shown[end:]) == (whole[:begin], whole[end:])


def test_a_failure_names_the_other_parameters_that_have_ended(tmp_path: Path) -> None:
    store = Store(tmp_path, new_run())

    def stored(parameter: str, validity: str) -> Result:
        found = replace(result(BROKEN, scenario=f"t.py::test_a[{parameter}]"), folder=store.place(parameter))
        summary = {"scenario": found.scenario, "validity": validity}
        (found.folder / "results.json").write_text(json.dumps(summary))
        return found

    assert "Beside" not in failure(stored("9s", "invalid"), AGAIN, ROOT)
    for parameter, validity in (("10s", "valid"), ("2s", "valid"), ("stop()", "unknown")):
        stored(parameter, validity)
    text = failure(stored("cut()", "invalid"), AGAIN, ROOT)
    line = "of the other parameters that have ended: fails [9s]; not judged [stop()]; passes [2s, 10s]"
    assert f"  Beside    {line}\n" in text
    assert "Beside" not in failure(replace(result(BROKEN), folder=store.place("x")), AGAIN, ROOT), "no parameters"
