"""How many trials run at once, and how they end early."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.explore.trials import Trials
from brownout.run.turns import Stopped

JOBS = 3


@pytest.fixture
def trials() -> Iterator[Trials]:
    """With threads, and without an application."""
    made = Trials(cast("Any", None), cast("Any", None), JOBS)
    with ThreadPoolExecutor(JOBS) as pool:
        made._pool = pool
        yield made


class Crowd:
    """Jobs that wait for each other: `most` is how many were there at the same time."""

    def __init__(self, size: int) -> None:
        self.most = self.done = self._there = 0
        self._lock, self._all = threading.Lock(), threading.Barrier(size)

    def job(self) -> None:
        with self._lock:
            self._there += 1
            self.most = max(self.most, self._there)
        self._all.wait(10)
        with self._lock:
            self._there -= 1
            self.done += 1


@pytest.mark.parametrize(("at_once", "size"), [(0, JOBS), (2, 2), (1, 1)])
def test_as_many_run_at_once_as_is_allowed(trials: Trials, at_once: int, size: int) -> None:
    crowd = Crowd(size)
    trials.together([crowd.job] * (2 * size), at_once)
    assert (crowd.most, crowd.done) == (size, 2 * size)


def test_an_error_is_raised_and_what_has_not_begun_never_does(trials: Trials) -> None:
    failed, begun = threading.Event(), list[int]()

    def fails() -> None:
        failed.set()
        raise RuntimeError("the first")

    def follows(number: int) -> None:
        assert failed.wait(10)
        begun.append(number)

    with pytest.raises(RuntimeError, match="the first"):
        trials.together([fails, *[lambda number=number: follows(number) for number in range(200)]], 1)
    assert len(begun) < 200


def test_when_it_is_stopped_no_trial_begins(trials: Trials) -> None:
    trials.stop()
    with pytest.raises(Stopped):
        trials.trial(cast("Any", None), trials.cold)


def test_traces_that_cannot_be_kept_change_no_outcome(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder that nobody may write to must not turn a broken promise into "unknown"."""

    class Full:
        def place(self, _scenario: str) -> Path:
            raise PermissionError("the folder is read-only")

    result = SimpleNamespace(validity="invalid", scenario="a map")
    monkeypatch.setattr(
        "brownout.explore.trials.Trial", lambda *_: SimpleNamespace(folder=tmp_path, run=lambda: result)
    )
    monkeypatch.setattr("brownout.explore.trials.finding_of", lambda *_: "lost")
    experiment = SimpleNamespace(title="a map", application=None, root=tmp_path, application_name="")
    made = Trials(cast("Any", experiment), cast("Any", None), JOBS, cast("Any", Full()))
    made._scratch = cast("Any", None)
    found: Any = made.trial(cast("Any", None), cast("Any", None))
    assert found == "lost"
