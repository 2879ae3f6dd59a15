"""One plan, its processes started cold and by forks: the same verdicts, and the same events of the same processes."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brownout import (
    Application,
    Lab,
    at_least_once,
    at_most_once,
    drained,
    effectively_once,
    event,
    kill,
    post,
    started,
    status_truthful,
    submit,
    terminate,
)
from brownout.lab import Outcome
from brownout.run.result import Result
from brownout.run.setting import Setting
from brownout.run.trial import run
from brownout.subject.part import Part
from brownout.subject.processes.launcher import Cold, Launcher
from brownout.subject.processes.launchers import forks_of
from brownout.subject.processes.process import Process
from tests.chaos.conftest import system
from tests.kit.test_layout_trials import PREFIXED, on, shop

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfds (Linux)")

SHOP, SYSTEM = shop(PREFIXED), system()
Launch = Callable[[Lab], dict[str, Result]]


@pytest.fixture
def application(request: pytest.FixtureRequest) -> Application:
    """What the test is parametrized with."""
    assert isinstance(request.param, Application)
    return request.param


class Noting:
    """A launcher that notes what it started."""

    def __init__(self, launcher: Launcher) -> None:
        self.kind, self.close, self._launcher = launcher.kind, launcher.close, launcher
        self.handles: set[str] = set()

    def launch(self, part: Part, log: Path) -> Process:
        """See Launcher."""
        process = self._launcher.launch(part, log)
        self.handles.add(type(process.handle).__name__)
        return process


@pytest.fixture
def both(application: Application, request: pytest.FixtureRequest) -> Iterator[Launch]:
    """Run the plan of a lab twice; gives the result of each way."""
    forked = forks_of(application, request.config.rootpath)
    assert forked.remarks == ()
    ways = {"cold": Noting(Cold()), "forked": Noting(forked)}

    def twice(lab: Lab) -> dict[str, Result]:
        setting: Setting = lab._setting
        return {name: run(lab.plan.validated(), replace(setting, launcher=way)) for name, way in ways.items()}

    with forked:
        yield twice
        assert [noting.handles for noting in ways.values()] == [{"Child"}, {"Fork"}], forked.cold_because


def verdicts(result: Result) -> list[tuple[str, str, list[str]]]:
    """Of each promise what it came to, and the kinds of its anomalies."""
    return [(v.promise, v.validity, sorted({a.kind for a in v.anomalies})) for v in result.verdicts]


def seen(result: Result) -> dict[tuple[str, str], int]:
    """How often each process told of its begin and of its end."""
    kinds = ("ready", "exit", "shutdown", "child-start")
    return dict(Counter((e.source, e.kind) for e in result.history if e.kind in kinds))


def alike(lab: Lab, found: dict[str, Result], **expected: Any) -> None:
    """Both ways came to the same, and to what is expected; nobody asks the lab itself for its outcome."""
    ways = {name: json.loads((result.folder / "env.json").read_text())["launch"] for name, result in found.items()}
    assert ways == {"cold": "cold", "forked": "forked"}
    assert verdicts(found["forked"]) == verdicts(found["cold"])
    assert seen(found["forked"]) == seen(found["cold"])
    judged = {promise.partition("(")[0]: (validity, kinds) for promise, validity, kinds in verdicts(found["forked"])}
    assert judged == {**expected, "faults_acted": ("valid", [])}
    for result in found.values():
        lab.outcomes.append(Outcome(result, result.scenario))
        assert lab.outcomes[-1].result is result, "it was asked for"


@on(SHOP)
def test_a_worker_that_is_killed_and_started_again(lab: Lab, both: Launch) -> None:
    lab.workers(1)
    lab.load(submit("shop.work", "{key}", 0.3, every="30ms", count=4))
    lab.inject(kill(), on="worker-1", when=started(nth=2))
    lab.promise(at_least_once(), drained(), at_most_once(of="started"))
    duplicate = ("invalid", ["duplicate"])
    alike(lab, both(lab), at_least_once=("valid", []), drained=("valid", []), at_most_once=duplicate)


@on(SHOP)
def test_a_worker_that_is_asked_to_end_and_one_that_does_not_come_back(lab: Lab, both: Launch) -> None:
    lab.workers(1, pool="solo", restarts=0)
    lab.load(submit("shop.work", "{key}", 0.1, every="20ms", count=6))
    lab.inject(terminate(), on="worker-1", when=started(nth=2))
    lab.promise(at_most_once(), drained())
    lab.drain("1s")
    alike(lab, both(lab), at_most_once=("valid", []), drained=("invalid", ["undrained"]))


@on(SYSTEM)
def test_an_api_that_is_killed_and_started_again(lab: Lab, both: Launch) -> None:
    lab.load(post("/process-data", json={"n": "{n}"}, every="100ms", count=8))
    lab.inject(kill(), on="api", when=event("ok", "client", nth=3))
    lab.promise(effectively_once(by="idempotency_key"), drained(), status_truthful())
    alike(lab, both(lab), effectively_once=("valid", []), drained=("valid", []), status_truthful=("valid", []))
