"""Statuses are read often while a job is young, and every open job gets its turn."""

import itertools
from collections import Counter

from brownout.workload.status_reader import AT_MOST, FIRST, GROWTH, StatusReader


def reads(jobs: dict[str, str], seconds: float, *, ends: float | None = None) -> dict[str, list[float]]:
    """When each job was asked about, in rounds of FIRST seconds."""
    at, asked = 0.0, dict[str, list[float]]()

    def open_jobs() -> dict[str, str]:
        return jobs if ends is None or at < ends else {}

    def read(key: str, task: str) -> None:
        assert jobs[task] == key
        asked.setdefault(task, []).append(at)

    reader = StatusReader(open_jobs, read, lambda: at)
    while at < seconds:
        reader.round()
        at += FIRST
    return asked


def test_a_young_job_is_asked_about_in_each_round() -> None:
    assert reads({"task": "key"}, 10 * FIRST)["task"] == [n * FIRST for n in range(10)]


def test_an_old_one_less_often_and_never_not_at_all() -> None:
    asked = reads({"task": "key"}, 100.0)["task"]
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert gaps == sorted(gaps)
    assert all(gap <= max(FIRST, GROWTH * later) + FIRST for gap, later in zip(gaps, asked[1:], strict=False))
    assert gaps[-1] > 5


def test_many_take_turns() -> None:
    jobs = {f"task-{n}": f"key-{n}" for n in range(3 * AT_MOST)}
    asked = Counter(map(len, reads(jobs, 12 * FIRST).values()))
    assert asked == {4: 3 * AT_MOST}


def test_what_is_settled_is_not_asked_about() -> None:
    assert reads({"task": "key"}, 10.0, ends=2 * FIRST)["task"] == [0.0, FIRST]
