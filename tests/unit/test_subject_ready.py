"""When a subject counts as launched, and when it is given up. Without processes."""

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.plan.topology import Topology, Workers
from brownout.probes.recorder import Recorder
from brownout.subject.application import Application, NotLaunched
from brownout.subject.processes.supervisor import Exit
from brownout.subject.subject import Subject

STEPS_DOWN = 7


def launched(folder: Path, codes: list[int], *, gave_up: str = "", ready: bool) -> Subject:
    """Of a subject whose one worker has ended with these codes."""
    application = Application(celery="shop:app", steps_down=(STEPS_DOWN,))
    history = folder / "history"
    topology = Topology(Workers(1), servers=0)
    subject = Subject(application, topology, cast("Any", None), root=folder, files=folder, history=history)
    if ready:
        Recorder(history, "worker-1").record("ready")
    worker = SimpleNamespace(
        exits=[Exit(n, n, code) for n, code in enumerate(codes)],
        gave_up=gave_up,
        current=SimpleNamespace(last_line=lambda: "table jobs already exists", tail=lambda *_: ""),
    )
    subject.supervisors["worker-1"] = cast("Any", worker)
    subject._consumers = lambda: 1  # type: ignore[method-assign]
    return subject


@pytest.mark.parametrize("codes", [[], [1], [STEPS_DOWN, 1, STEPS_DOWN], [1, 1, 1]])
def test_a_process_that_is_ready_in_the_end_is_launched(tmp_path: Path, codes: list[int]) -> None:
    launched(tmp_path, codes, ready=True).wait_ready(1.0)


@pytest.mark.parametrize(
    ("codes", "gave_up"),
    [([1, 2], ""), ([2], "its budget is 0"), ([1, 2], "its budget is 1"), ([1, STEPS_DOWN, 2], "")],
)
def test_a_process_that_ends_twice_or_for_good_before_it_is_ready_is_not_launched(
    tmp_path: Path, codes: list[int], gave_up: str
) -> None:
    subject = launched(tmp_path, codes, gave_up=gave_up, ready=False)
    with pytest.raises(
        NotLaunched, match=r"^worker-1 ended with exit code 2 before it was ready: table jobs already exists$"
    ):
        subject.wait_ready(1.0)


def test_a_process_that_ended_once_is_waited_for(tmp_path: Path) -> None:
    subject, looks = launched(tmp_path, [1], ready=False), itertools.count()

    def clock() -> float:
        """The second start is ready after three looks."""
        look = next(looks)
        if look == 3:
            Recorder(subject.history, "worker-1").record("ready")
        return 0.0 if look < 100 else 60.0

    subject.wait_ready(30.0, clock)
