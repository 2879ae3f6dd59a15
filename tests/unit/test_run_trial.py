"""What a trial does with what it sees, without a subject."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.check.promises import drained
from brownout.check.registry import judge
from brownout.history.event import Event
from brownout.history.view import History
from brownout.run.trial import Trial

QUIET: dict[str, Any] = {"queues": {"celery": 0}, "unacked": 0}
BUSY: dict[str, Any] = {"queues": {"celery": 0}, "unacked": 1}


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    application = SimpleNamespace(effects=None, accepted=None, recovery=0.0, queues=("celery",))
    setting = SimpleNamespace(scenario="s", application=application, store=SimpleNamespace(place=lambda _: tmp_path))
    made = Trial(cast("Any", SimpleNamespace(drain=2.0)), cast("Any", setting))
    yield made
    for recorder in made._recorders.values():
        recorder.close()


@pytest.mark.parametrize(
    ("looks", "ok"), [([QUIET], True), ([BUSY, QUIET], True), ([BUSY] * 50, False)], ids=["quiet", "a tick", "busy"]
)
def test_a_drain_ends_with_a_quiet_look_alone(
    trial: Trial, tmp_path: Path, looks: list[dict[str, Any]], ok: bool
) -> None:
    """What was quiet all the time may be busy in the very moment of the last look: beat has ticked."""
    left = iter(looks)

    def probe(_subject: object) -> Event:
        return trial._recorder("broker").record("sample", **next(left))

    def look() -> None:
        trial._sample = Event(0, "broker", "sample", data=QUIET)  # what the probe that goes on beside it sees

    trial._probe = probe  # type: ignore[method-assign, assignment]  # there is no broker
    trial._look = look  # type: ignore[assignment]  # one look for all
    look()
    trial._drain(cast("Any", None), cast("Any", None))

    history = History.load(tmp_path / "history.ndjson")
    assert history.drained
    assert history.drained.data["limit"] == 2.0
    assert (judge(history, drained()).validity == "valid") is ok
    assert history.drained
    assert history.drained.data["ok"] is ok
    assert len(history.kind("sample")) == len(looks) if ok else len(history.kind("sample")) > 1


def sampling(trial: Trial, data: dict[str, Any]) -> Callable[[object], Event]:
    """A look into the broker that always finds the same."""

    def probe(_subject: object) -> Event:
        return trial._recorder("broker").record("sample", **data)

    return probe


def test_a_drain_waits_for_a_machine_that_is_busy_and_says_how_long(trial: Trial, tmp_path: Path) -> None:
    """The queue is empty in the end, after more wall time than the drain may take: most of it nobody had a CPU."""
    begun = time.monotonic()

    def look() -> None:
        late = time.monotonic() - begun
        trial._busy._waited = int(0.9e9 * late)
        trial._sample = Event(0, "broker", "sample", data=BUSY if late < 2.5 else QUIET)

    trial._probe = sampling(trial, QUIET)  # type: ignore[method-assign, assignment]
    trial._look = look  # type: ignore[assignment]
    look()
    trial._drain(cast("Any", None), cast("Any", None))
    end = History.load(tmp_path / "history.ndjson").drained
    assert end is not None
    assert end.data["ok"] is True
    assert end.data["seconds"] > end.data["limit"]
    assert end.data["seconds"] - end.data["busy"] < end.data["limit"]


def test_a_drain_ends_however_busy_the_machine_is_and_then_nothing_is_sure(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brownout.run.trial.LONGEST", 1)
    begun = time.monotonic()

    def look() -> None:
        trial._busy._waited = time.monotonic_ns() - int(begun * 1e9)
        trial._sample = Event(0, "broker", "sample", data=BUSY)

    trial._probe = sampling(trial, BUSY)  # type: ignore[method-assign, assignment]
    trial._look = look  # type: ignore[assignment]
    look()
    trial._drain(cast("Any", None), cast("Any", None))
    verdict = judge(History.load(tmp_path / "history.ndjson"), drained())
    assert (verdict.validity, verdict.busy_ms > 1_000) == ("unknown", True)
    sure = [replace(e, data={**e.data, "busy": 0.0}) for e in History.load(tmp_path / "history.ndjson")]
    assert judge(History(sure), drained()).validity == "invalid"


def test_a_status_that_is_never_told_does_not_keep_the_others_from_being_read(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brownout.run.trial.AGAIN_WITHIN", 0.1)
    trial._settled.see(Event(1, "client", "ok", f"op-{n}", f"t{n}", data={"method": "POST"}) for n in (1, 2, 3))

    def read(key: str, task: str) -> bool:
        return task != "t1" and bool(trial._recorder("client").record("read", key=key, task=task))

    trial._look = lambda: None  # type: ignore[assignment]
    trial._read_all(cast("Any", SimpleNamespace(read=read)))
    history = History.load(tmp_path / "history.ndjson")
    told = {kind: sorted(str(event.task) for event in history.kind(kind)) for kind in ("read", "unread")}
    assert told == {"read": ["t2", "t3"], "unread": ["t1"]}


@pytest.mark.parametrize("answers_after", [0, 3, 10**9], ids=["at once", "later", "never"])
def test_every_accepted_job_is_asked_for_its_last_status(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers_after: int
) -> None:
    """The edge to the API was healed, and the API needs a while; one that never answers leaves them unread."""
    monkeypatch.setattr("brownout.run.trial.AGAIN_WITHIN", 0.1)
    trial._settled.see(Event(1, "client", "ok", f"op-{n}", f"t{n}", data={"method": "POST"}) for n in (1, 2, 3))
    trial._settled.see([Event(2, "effects", "effect", task="t1"), Event(3, "store", "accepted", "op-4", "t4")])
    asked = list[str]()

    def read(key: str, task: str) -> bool:
        asked.append(task)
        return len(asked) > answers_after and bool(trial._recorder("client").record("read", key=key, task=task))

    trial._look = lambda: None  # type: ignore[assignment]
    trial._read_all(cast("Any", SimpleNamespace(read=read)))
    history = History.load(tmp_path / "history.ndjson")
    told = {kind: sorted(str(event.task) for event in history.kind(kind)) for kind in ("read", "unread")}
    never = answers_after > 3
    assert told == {"read": [] if never else ["t1", "t2", "t3", "t4"], "unread": ["t1", "t2", "t3", "t4"] * never}
