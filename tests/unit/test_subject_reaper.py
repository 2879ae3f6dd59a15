"""What the reaper believes that a run holds."""

import json

from brownout.subject.processes.reaper import listen


def lines(*said: dict[str, object]) -> list[bytes]:
    return [json.dumps(word).encode() + b"\n" for word in said]


def test_what_was_released_is_not_held() -> None:
    held, orderly = listen(
        lines(
            {"hold": "process 1", "pid": 1, "started": "a"},
            {"hold": "process 2", "pid": 2, "started": "b"},
            {"release": "process 1"},
        )
    )
    assert [each["pid"] for each in held.values()] == [2]
    assert not orderly


def test_a_pid_held_again_counts_with_its_new_start() -> None:
    held, _ = listen(
        lines({"hold": "process 1", "pid": 1, "started": "a"}, {"hold": "process 1", "pid": 1, "started": "b"})
    )
    assert [each["started"] for each in held.values()] == ["b"]


def test_a_line_that_the_run_died_in_is_no_obstacle() -> None:
    held, orderly = listen([*lines({"hold": "directory x", "directory": "x"}), b'{"hold": "proc'])
    assert list(held) == ["directory x"]
    assert not orderly


def test_a_good_bye_is_understood() -> None:
    assert listen(lines({"bye": 1})) == ({}, True)
