"""The lines that prove a cell."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.explore.client import Knowledge
from brownout.explore.record import Seen
from brownout.explore.witnesses import MOST, Witnesses
from brownout.history.event import Event

SECOND = 10**9


def lines(tasks: int) -> list[str]:
    """A cut, and so many tasks that start, take effect and end."""
    mission = SimpleNamespace(application=SimpleNamespace(effects=None))
    bench = SimpleNamespace(history=Path("/dev/null"), mission=mission)
    witnesses = Witnesses(cast("Any", bench), ["job-1"])
    for n in range(tasks):
        at = (n + 1) * SECOND
        for kind, source in (("started", "worker"), ("effect", "effects"), ("ended", "worker")):
            witnesses._events.append(Event(at, source, kind, task=f"t{n}", data={"state": "SUCCESS"}))
    seen = [Seen(0, "client->broker", "LPUSH celery: cut, before it", True), Seen(1, "client->broker", "LPUSH celery")]
    return [line.split(" s  ")[1] for line in witnesses.lines(seen, Knowledge(sent=0), [])]


@pytest.mark.parametrize(("tasks", "starts"), [(1, True), (3, True), (4, False)])
def test_of_many_lines_the_starts_are_left_out(tasks: int, starts: bool) -> None:
    told = lines(tasks)
    assert told[0].startswith("client->broker")
    assert sum("started" in line for line in told) == (tasks if starts else 0)
    assert sum("ended SUCCESS" in line for line in told) == sum("effect" in line[15:] for line in told) == tasks
    assert len(told) <= MOST
