"""What the drain of a trial waits for, and how the last statuses are read: without a subject."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.check.promises import drained
from brownout.check.registry import judge
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.plan import Plan
from brownout.run.phases import drain as draining
from brownout.run.trial import Trial
from brownout.run.turns import Stopped
from brownout.subject.application import Application

QUIET: dict[str, Any] = {"queues": {"celery": 0}, "unacked": 0}
BUSY: dict[str, Any] = {"queues": {"celery": 0}, "unacked": 1}
NOBODY = cast("Any", SimpleNamespace(read=lambda _key, _task: True))


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    application = Application(celery="nowhere", queues=("celery",))
    setting = SimpleNamespace(
        scenario="s",
        application_name="",
        application=application,
        root=tmp_path,
        store=SimpleNamespace(place=lambda _: tmp_path),
        stopped=lambda: False,
    )
    made = Trial(Plan(), cast("Any", setting))
    made._observer.look = lambda: None  # type: ignore[method-assign]  # there is no subject
    yield made
    made._observer.recorders.close()


def drain(trial: Trial, clients: Any = NOBODY, recovery: float = 0.0, within: float = 2.0) -> History:
    """Drain the trial; the history that comes of it."""
    trial._observer.recorders["run"].record("phase", name="drain")
    draining.drain(trial._observer, clients, trial._busy, trial._pump, within=within, recovery=recovery)
    return History.load(trial.folder / "history.ndjson")


def looks(trial: Trial, monkeypatch: pytest.MonkeyPatch, *found: dict[str, Any]) -> None:
    """What each look that the drain itself takes into the broker finds; the last one over and over."""
    left = list(found)

    def sample(*, changes: bool = False) -> Event:
        assert not changes, "a drain records every look"
        data = left.pop(0) if len(left) > 1 else left[0]
        trial._observer.recorders["broker"].record("sample", **data)
        trial._observer.sampled = Event(0, "broker", "sample", data=data)
        return trial._observer.sampled

    monkeypatch.setattr(trial._observer, "sample", sample)
    trial._observer.sampled = Event(0, "broker", "sample", data=QUIET)


def beside(trial: Trial, seen: Any) -> None:
    """At each turn of the pump: what the probe that goes on beside the drain sees."""

    def look() -> None:
        trial._observer.sampled = Event(0, "broker", "sample", data=seen())

    trial._observer.look = look  # type: ignore[method-assign]
    look()


@pytest.mark.parametrize(
    ("found", "ok"), [([QUIET], True), ([BUSY, QUIET], True), ([BUSY], False)], ids=["quiet", "a tick", "busy"]
)
def test_a_drain_ends_with_a_quiet_look_alone(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, found: list[dict[str, Any]], ok: bool
) -> None:
    """What was quiet all the time may be busy in the very moment of the last look: beat has ticked."""
    looks(trial, monkeypatch, *found)
    beside(trial, lambda: QUIET)
    history = drain(trial)
    assert history.drained
    assert history.drained.data["limit"] == 2.0
    assert (judge(history, drained()).validity == "valid") is ok
    assert history.drained.data["ok"] is ok
    assert len(history.kind("sample")) == len(found) if ok else len(history.kind("sample")) > 1


def test_a_drain_waits_for_a_machine_that_is_busy_and_says_how_long(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue is empty in the end, after more wall time than the drain may take: most of it nobody had a CPU."""
    begun, quiet_turns = time.monotonic(), 0

    def seen() -> dict[str, Any]:
        """The clock without waits moves by turns of the drain, so that a test that is late itself changes nothing."""
        nonlocal quiet_turns
        late = time.monotonic() - begun
        quiet_turns += late >= 1.2
        trial._busy._waited = int((late - quiet_turns * draining.SAMPLE / 2) * 1e9)
        return QUIET if quiet_turns else BUSY

    looks(trial, monkeypatch, QUIET)
    beside(trial, seen)
    end = drain(trial, within=1.0).drained
    assert end is not None
    assert end.data["ok"] is True
    assert end.data["seconds"] > end.data["limit"]
    assert end.data["seconds"] - end.data["busy"] < end.data["limit"]


def test_a_drain_ends_however_busy_the_machine_is_and_then_nothing_is_sure(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brownout.run.trial.LONGEST", 1)
    begun = time.monotonic()

    def seen() -> dict[str, Any]:
        trial._busy._waited = time.monotonic_ns() - int(begun * 1e9)
        return BUSY

    looks(trial, monkeypatch, BUSY)
    beside(trial, seen)
    history = drain(trial, within=0.5)
    verdict = judge(history, drained())
    assert (verdict.validity, verdict.busy_ms > 300) == ("unknown", True)
    sure = [replace(e, data={**e.data, "busy": 0.0}) for e in history]
    assert judge(History(sure), drained()).validity == "invalid"


def test_what_is_nowhere_has_the_applications_recovery_to_come_back(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker is empty, and a job that was accepted is not done: it is waited for, and then it is told."""
    looks(trial, monkeypatch, QUIET)
    trial._observer.settled.see([Event(1, "client", "ok", "op-1", "t1", data={"method": "POST"})])
    begun = time.monotonic()
    end = drain(trial, recovery=0.6, within=4.0).drained
    assert time.monotonic() - begun > 0.6 + 5 * draining.SAMPLE, "and then its work needs a moment"
    assert end is not None
    assert (end.data["ok"], end.data["left"], end.data["recovery"]) == (True, "op-1", 0.6)


def test_a_drain_that_is_stopped_raises_at_once(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    looks(trial, monkeypatch, BUSY)
    beside(trial, lambda: BUSY)
    cast("Any", trial.setting).stopped = lambda: True
    with pytest.raises(Stopped):
        drain(trial)


# --- the last statuses


def told(history: History) -> dict[str, list[str]]:
    """Tasks whose status was read, and those whose status nobody told."""
    return {kind: sorted(str(event.task) for event in history.kind(kind)) for kind in ("read", "unread")}


def accepted(trial: Trial) -> None:
    """Three jobs by their clients, a fourth by the application's own store; the first is done."""
    settled = trial._observer.settled
    settled.see(Event(1, "client", "ok", f"op-{n}", f"t{n}", data={"method": "POST"}) for n in (1, 2, 3))
    settled.see([Event(2, "effects", "effect", task="t1"), Event(3, "store", "accepted", "op-4", "t4")])


def test_a_status_that_is_never_told_does_not_keep_the_others_from_being_read(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "ASK_WITHIN", 0.1)
    looks(trial, monkeypatch, QUIET)
    accepted(trial)

    def read(key: str, task: str) -> bool:
        return task != "t1" and bool(trial._observer.recorders["client"].record("read", key=key, task=task))

    history = drain(trial, SimpleNamespace(read=read))
    assert told(history) == {"read": ["t2", "t3", "t4"], "unread": ["t1"]}


@pytest.mark.parametrize("answers_after", [0, 3, 10**9], ids=["at once", "later", "never"])
def test_every_accepted_job_is_asked_for_its_last_status(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, answers_after: int
) -> None:
    """The edge to the API was healed, and the API needs a while; one that never answers leaves them unread."""
    monkeypatch.setattr(draining, "ASK_WITHIN", 0.1)
    looks(trial, monkeypatch, QUIET)
    accepted(trial)
    asked, compared = list[str](), list[int]()
    monkeypatch.setattr(trial._observer.records, "compare", lambda: compared.append(len(asked)))

    def read(key: str, task: str) -> bool:
        asked.append(task)
        recorder = trial._observer.recorders["client"]
        return len(asked) > answers_after and bool(recorder.record("read", key=key, task=task))

    never, everything = answers_after > 3, ["t1", "t2", "t3", "t4"]
    history = drain(trial, SimpleNamespace(read=read))
    assert told(history) == {"read": [] if never else everything, "unread": everything * never}
    assert compared == [len(asked)], "the application's own store is read again at the very end"
