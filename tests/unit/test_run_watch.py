"""When the trial's processes waited for a CPU, and the clock that leaves this time out."""

import os
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from brownout.check import promises as p
from brownout.history.view import History
from brownout.plan.plan import Plan
from brownout.plan.promise import Promise
from brownout.probes.recorder import Recorder
from brownout.run.watch import EVERY, BusyWatch, held, resource_watches
from brownout.subject.run_delay import RunDelay

MS = 1_000_000


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """Nanoseconds that each process will have waited at the next look."""
    told: dict[int, int] = {}

    def take(delay: RunDelay, pids: Iterable[int]) -> dict[int, int]:
        delay.longest = max(told.values(), default=0)
        return {pid: told.get(pid, 0) for pid in pids}

    monkeypatch.setattr(RunDelay, "take", take)
    return told


def looked(watch: BusyWatch, *, ago: float = EVERY) -> None:
    """One look, as if the last one had been `ago` seconds before."""
    watch._looked_at = time.monotonic_ns() - int(ago * 1e9)
    watch._slept_at = time.monotonic()
    watch.look()


def test_each_process_is_told_and_the_clock_leaves_the_longest_wait_out(tmp_path: Path, waited: dict[int, int]) -> None:
    waited.update({1: 30 * MS, 2: 5 * MS, 3: 10 * MS, os.getpid(): 0})
    with closing(Recorder(tmp_path / "history", "run")) as recorder:
        watch = BusyWatch(recorder, lambda: {"api": [1], "worker-1": [2, 3]})
        before = time.monotonic() - watch.clock()
        looked(watch)
        assert time.monotonic() - watch.clock() - before == pytest.approx(0.030, abs=0.001)
    (event,) = History.load(tmp_path / "history").kind("waited")
    assert event.data["ms"] == {"api": 30.0, "worker-1": 15.0}
    assert event.at - event.data["since"] >= EVERY * 1e9


def test_no_more_than_the_time_that_passed_is_left_out(tmp_path: Path, waited: dict[int, int]) -> None:
    waited.update({1: 900 * MS})
    with closing(Recorder(tmp_path / "history", "run")) as recorder:
        watch = BusyWatch(recorder, lambda: {"api": [1]})
        looked(watch)
        assert EVERY <= watch.waited < EVERY + 0.08


def test_a_quiet_machine_is_not_told(tmp_path: Path, waited: dict[int, int]) -> None:
    waited.update({1: MS // 2})
    with closing(Recorder(tmp_path / "history", "run")) as recorder:
        watch = BusyWatch(recorder, lambda: {"api": [1]})
        looked(watch)
        recorder.record("note")
    assert [event.kind for event in History.load(tmp_path / "history")] == ["note"]


def test_a_machine_that_stood_still_is_seen_by_a_sleep_that_was_too_long(
    tmp_path: Path, waited: dict[int, int]
) -> None:
    with closing(Recorder(tmp_path / "history", "run")) as recorder:
        watch = BusyWatch(recorder, dict)
        watch._looked_at = time.monotonic_ns() - 600 * MS
        watch._slept_at = time.monotonic() - 0.5
        watch.look()
        assert 0.4 < watch.waited <= 0.61
    (event,) = History.load(tmp_path / "history").kind("machine-late")
    assert event.data["ms"] >= 480


def test_what_a_process_holds_is_told_and_a_process_that_is_gone_is_not(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "history", "run")
    with closing(recorder):
        held(recorder, {"api": [os.getpid()], "worker-1": [2**22 + 1]})
        kept = [(tmp_path / f"{n}").open("w") for n in range(7)]
        held(recorder, {"api": [os.getpid()]})
    for file in kept:
        file.close()
    before, after = History.load(tmp_path / "history").kind("resources")
    assert (before.pid, before.data["process"]) == (os.getpid(), "api")
    assert after.data["descriptors"] - before.data["descriptors"] >= 7, "the files, and the history itself"
    assert 10 < before.data["megabytes"] < 10_000
    assert before.data["connections"] == 0


@pytest.mark.parametrize(
    ("promise", "watches"),
    [(p.nothing_leaks(), 1), (p.must_show("leak", under=p.nothing_leaks()), 1), (p.drained(), 0)],
    ids=str,
)
def test_resources_are_watched_where_a_promise_needs_them(tmp_path: Path, promise: Promise, watches: int) -> None:
    recorder = Recorder(tmp_path / "history", "run")
    assert len(resource_watches(Plan(promises=(promise,)), recorder, dict)) == watches
