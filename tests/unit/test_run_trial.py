"""What a trial does with what it sees, without a subject."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.check.promises import drained
from brownout.check.registry import judge
from brownout.history.event import Event
from brownout.history.recorder import Recorder
from brownout.history.view import History
from brownout.run.trial import Trial

QUIET, BUSY = {"queues": {"celery": 0}, "unacked": 0}, {"queues": {"celery": 0}, "unacked": 1}


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    application = SimpleNamespace(effects=None, recovery=0.0, queues=("celery",))
    setting = SimpleNamespace(scenario="s", application=application, store=SimpleNamespace(place=lambda _: tmp_path))
    made = Trial(cast("Any", SimpleNamespace(drain=2.0)), cast("Any", setting))
    yield made
    for recorder in made._recorders.values():
        recorder.close()


def test_an_api_that_waits_for_a_cpu_all_the_time_makes_the_trial_worth_nothing(trial: Trial, tmp_path: Path) -> None:
    api = Recorder(tmp_path / "history.ndjson", "api")
    for _ in range(20):
        api.record("starved", ms=40.0)
    trial._poll(cast("Any", SimpleNamespace(exits=lambda _: None)), tuple)
    api.close()
    (stalled,) = History.load(tmp_path / "history.ndjson").kind("machine-stalled")
    assert stalled.data["loop"] == "api"


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
    assert (judge(history, drained()).validity == "valid") is ok
    assert history.drained
    assert history.drained.data["ok"] is ok
    assert len(history.kind("sample")) == len(looks) if ok else len(history.kind("sample")) > 1
