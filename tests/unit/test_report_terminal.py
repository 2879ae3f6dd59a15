"""A failure is read from top to bottom: what broke, what proves it, what to type."""

from dataclasses import replace

import pytest

from brownout.check.verdict import Verdict
from brownout.report.terminal import failure, style
from tests.unit.report_specimens import BROKEN, ROOT, WITNESS, busy, duplicate, event, result, verdict

AGAIN = "pytest 'tests/test_publish.py::test_lost_reply[cut]' --chaos-seed=7741"


def test_a_failure_reads_as_promised() -> None:
    assert failure(result(verdict("valid", "drained()"), BROKEN), AGAIN, ROOT).splitlines() == [
        "✗ test_lost_reply[cut]  invalid · duplicate ×1 · seed 7741 · 3.2 s",
        "  Operation op-3 took effect 2 times.",
        "",
        "       -100 ms ┬ nemesis  cut() on api->broker begins",
        "         +0 ms │ client   invoke POST /process op-3",
        "         +8 ms ┿ nemesis  cut() acted: 1 connection closed",
        "        +12 ms │ client   ok op-3 task task-1aa status=202",
        "       +200 ms │ effects  effect processed op-3 task task-1aa",
        "       +500 ms ┴ nemesis  cut() healed",
        "       +650 ms   effects  effect processed op-3 task task-1aa   ← duplicate",
        "",
        "  Promise   effectively_once(by='key')",
        "",
        "  Again     pytest 'tests/test_publish.py::test_lost_reply[cut]' --chaos-seed=7741",
        "  Store     store/lost-reply/20261120T063100000000",
    ]


def test_an_anomaly_that_breaks_two_promises_is_told_once_under_both() -> None:
    text = failure(result(verdict("invalid", "at_most_once()", duplicate()), BROKEN), AGAIN, ROOT)

    assert text.count("took effect 2 times") == 1
    assert "duplicate ×1" in text
    assert "  Promise   at_most_once()\n            effectively_once(by='key')\n" in text


def test_many_anomalies_of_a_promise_are_counted() -> None:
    many = [duplicate(f"Operation op-{n} took effect 2 times.") for n in range(9)]
    text = failure(result(verdict("invalid", "at_most_once()", *many)), AGAIN, ROOT)

    assert text.count("took effect") == 3
    assert "duplicate ×9" in text
    assert "… and 6 more; all of them are in results.json" in text


def test_what_is_unknown_says_why_once_for_all_its_promises() -> None:
    why = verdict("unknown", "drained()", why="the relay did not answer for 1200 ms")
    text = failure(result(why, replace(why, promise="nothing_stuck()")), AGAIN, ROOT)

    assert text.startswith("? test_lost_reply[cut]  unknown · seed 7741")
    assert text.count("Unknown: the relay did not answer for 1200 ms") == 1
    assert "  Promise   drained()\n            nothing_stuck()\n" in text


def test_anomalies_that_a_promise_expected_are_no_part_of_the_failure() -> None:
    shown = verdict("valid", "must_show(kind='lost')", duplicate("Operation op-1 is lost."))
    text = failure(result(shown, BROKEN), AGAIN, ROOT)

    assert "op-1" not in text
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
        "  Again     pytest 'tests/test_publish.py::test_lost_reply[cut]' --chaos-seed=7741",
        "  Store     store/lost-reply/attempt-2",
        "            store/lost-reply/attempt-1 (attempt 1)",
    ]


def test_a_failure_counts_the_promises_that_a_busy_machine_left_in_doubt() -> None:
    waited = Verdict("unknown", "p99()", (), "the API waited for a CPU", 65.4)
    reason = verdict("unknown", "drained()", why="the drain did not end")

    broken = failure(result(BROKEN, waited, replace(waited, busy_ms=338.0)), AGAIN, ROOT)
    assert "\n  Not judged because the machine was busy for 338 ms: 2 promises\n\n  Again" in broken
    unknown = failure(result(reason, waited), AGAIN, ROOT)
    assert unknown.startswith("? test_lost_reply[cut]  unknown · ")
    assert "  Unknown: the drain did not end\n\n  Promise   drained()\n" in unknown
    assert "  Not judged because the machine was busy for 65.4 ms: 1 promise\n" in unknown
    assert "p99" not in broken + unknown


def test_a_process_that_no_fault_ended_is_named_before_what_broke() -> None:
    exits = [event(1100 + n, "worker-1", "exit", code=1, ended=n) for n in range(2)]
    exits += [event(1300, "api", "exit", code=-11, ended=9), event(1400, "api", "exit", code=-99, ended=10)]
    explained = [
        event(1310, "relay", "exit", code=-9, struck=True),
        event(1320, "relay", "exit", code=70, orderly=True),
    ]

    lines = failure(result(BROKEN, events=[*exits, *explained]), AGAIN, ROOT).splitlines()
    assert lines[1:6] == [
        "  api ended by signal 99, and no fault ended it",
        "  api ended by SIGSEGV, and no fault ended it",
        "  worker-1 ended 2 times with exit code 1, and no fault ended it",
        "",
        "  Operation op-3 took effect 2 times.",
    ]
    assert "ended" not in failure(result(BROKEN, events=explained), AGAIN, ROOT)


def test_no_payload_and_no_secret_is_shown() -> None:
    error = event(
        1300, "api", "raised", error="no answer from redis://:hunter2@10.0.0.1:6379/0\x1b[31m\nok", value="{payload}"
    )
    words = duplicate("Operation op-3 broke: amqp://user:p/w@rd@host and password='hunter2'.", (*WITNESS, error))
    text = failure(result(verdict("invalid", "at_most_once()", words)), AGAIN, ROOT)

    assert "://***@10.0.0.1:6379/0" in text
    for secret in ("hunter2", "p/w", "hush", "payload", "\x1b", "\r"):
        assert secret not in text
    assert all(line.startswith(("✗", "  ")) or not line for line in text.splitlines()), "an event forged a line"


def test_more_faults_than_there_are_bars_are_counted() -> None:
    crowd = [event(950 + n, "nemesis", "fault-start", fault=f"f{n}()", id=f"f{n}", target="broker") for n in range(5)]
    text = failure(result(BROKEN, events=crowd), AGAIN, ROOT)

    assert "3 more faults were active meanwhile" in text
    assert "kill()" not in text, "a fault that began after the last witness"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("✗ test_x  invalid", {"red": True, "bold": True}),
        ("? test_x  unknown", {"yellow": True, "bold": True}),
        ("not judged: test_x: the machine was busy", {"yellow": True, "bold": True}),
        ("  Operation op-3 took effect 2 times.", {"bold": True}),
        ("  Unknown: nothing was judged", {"bold": True}),
        ("         +0 ms │ client   ok op-3", {}),
        ("  Promise   drained()", {}),
        ("            nothing_stuck()", {}),
        ("  Again     pytest x", {}),
        ("  … and 6 more; all of them are in results.json", {}),
        ("", {}),
    ],
)
def test_what_broke_stands_out(line: str, expected: dict[str, bool]) -> None:
    assert style(line) == expected
