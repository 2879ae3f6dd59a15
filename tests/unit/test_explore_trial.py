"""What a trial makes of what it did not see: nothing good. On a stage of paper."""

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from brownout.explore.bench import Bench
from brownout.explore.bounds import Bounds
from brownout.explore.campaign import Campaign, NoMap, Options
from brownout.explore.cell import Cell, Point
from brownout.explore.client import HttpClient, Knowledge
from brownout.explore.conductor import Hit
from brownout.explore.mission import DEFAULTS, HARDENED, LATE, OWN, STOCK, WORKLOADS, Configuration, Mission
from brownout.explore.strike import Striker
from brownout.explore.trial import Trial
from brownout.plan.operation import Http

CELL = Cell(Point("worker->broker", "ZADD unacked_index"), "after", "kill-child")


def mission(configuration: Configuration = DEFAULTS) -> Mission:
    return Mission(STOCK, Path.cwd(), configuration, WORKLOADS["task"], "work")


def trial(*schedule: Cell, done: bool = False, of: Mission | None = None) -> Trial:
    bench = SimpleNamespace(mission=of or mission(), kill=0, signal=0, restart_broker=0, deaths=[], pids=())
    made = Trial(cast("Bench", bench), cast("Any", None), schedule, bounds=Bounds.of({}))
    made.saw = cast("Any", SimpleNamespace(done=lambda _: done))
    return made


def test_a_worker_that_did_not_take_the_probe_does_not_pass_for_one_that_consumes() -> None:
    """Whatever ended the wait, also the limit of the trial: a worker that never came up again is one of them."""
    assert not trial(CELL)._consuming(), "no probe was ever sent"
    for done in (True, False):
        made = trial(CELL, done=done)
        made._probe = Knowledge(tasks=("probe",))
        assert made._consuming() is done
    assert trial()._consuming(), "without a fault there is no probe"


@pytest.mark.parametrize(
    ("asked", "consuming"), [((9.0, 9.0), False), ((11.0, 9.0), False), ((9.0, 11.0), False), ((10.0, 11.0), True)]
)
def test_of_two_workers_each_must_ask_for_messages_after_the_probe(asked: tuple[float, float], consuming: bool) -> None:
    """One takes the probe, whatever has become of the other."""
    made = trial(CELL, done=True, of=replace(mission(), workload=WORKLOADS["two-workers"]))
    made._probe, made._probed_at = Knowledge(tasks=("probe",)), 10.0
    assert made._consuming() is False, "nobody has asked yet"
    made.conductor.polled |= {f"worker-{n + 1}->broker": at for n, at in enumerate(asked)}
    assert made._consuming() is consuming


@pytest.mark.parametrize(
    ("bounds", "left", "missing", "long"),
    [
        (Bounds.of(HARDENED.settings), ("unacked",), set(), True),  # the broker gives it back
        (Bounds.of({}, recovery=8.0), (), {"key"}, True),  # the application publishes it again
        (Bounds.of({}), ("unacked",), {"key"}, False),  # stuck for longer than anybody waits
        (Bounds.of(HARDENED.settings), (), set(), False),
    ],
)
def test_what_somebody_may_bring_back_is_waited_for_while_it_may_come(
    bounds: Bounds, left: tuple[str, ...], missing: set[str], long: bool
) -> None:
    made = trial(CELL)
    made.bounds, made.about.answered, made.about.told = bounds, "accepted", "read"
    made.saw = cast("Any", SimpleNamespace(missing=missing))
    state = (left, (), (), False, 0)
    assert made._over(state, bounds.still - 0.1) is not long
    assert made._over(state, bounds.still + 0.1)
    assert bounds.recover + bounds.republished < bounds.still < bounds.limit


def test_a_message_in_a_workers_memory_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies nowhere, and all looks good, for as long as a busy machine keeps the worker from registering it."""
    made, looks = trial(CELL, done=True), 0
    made.saw = cast("Any", SimpleNamespace(missing=set(), running={}, others=set(), done=lambda _: True))
    made.about.answered, made.about.told, made._probe = "accepted", "read", Knowledge(tasks=("probe",))
    made.conductor.hits = [cast("Any", None)]
    made.bench.born = {"worker": 0.0}

    async def look() -> tuple[Any, ...]:
        nonlocal looks
        looks += 1
        return (), (), ("accepted", "read"), True, 0

    monkeypatch.setattr(made, "_look", look)
    monkeypatch.setattr(made.conductor, "holds", lambda _within: looks < 12)
    asyncio.run(made._watch(cast("Any", None)))
    assert looks > 12


def test_an_api_that_does_not_answer_is_asked_again() -> None:
    """And when it never does, nothing is known."""
    answers: list[Any] = [httpx.RemoteProtocolError("closed"), {"nothing": 0}, {"state": "SUCCESS"}]

    def answer(_: httpx.Request) -> httpx.Response:
        if isinstance(given := answers.pop(0), Exception):
            raise given
        return httpx.Response(200, json=given)

    application = replace(STOCK, status="/{task}", state="state")
    client = HttpClient(replace(mission(), application=application), "http://api", Http("POST", "/"))
    client._http = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://api")
    assert asyncio.run(client.stored(cast("Any", None), "", Knowledge(tasks=("t",)))) == frozenset(), "no state yet"
    assert asyncio.run(client.stored(cast("Any", None), "", Knowledge(tasks=("t",)))) == {"SUCCESS"}
    assert answers == []


def test_a_client_that_breaks_is_no_caller_without_an_answer() -> None:
    client = HttpClient(mission(), "http://api", Http("POST", "/"))

    async def stored() -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, json=[]))
        client._http = httpx.AsyncClient(transport=transport, base_url="http://api")
        client.submit(["job-1"], "", 1.0)
        await asyncio.wait(client._talks)
        await client.stored(cast("Any", None), "", Knowledge(tasks=("t",)))

    with pytest.raises(TypeError):
        asyncio.run(stored())


@pytest.mark.parametrize(
    ("role", "code", "died"), [("worker", 1, True), ("worker", 3, False), ("worker", -9, True), ("relay", 1, False)]
)
def test_a_worker_that_steps_down_has_not_died(role: str, code: int, died: bool) -> None:
    """As the reference system's watchdog does: its exit code asks the supervisor for another worker."""
    made = trial(of=replace(mission(), application=replace(STOCK, steps_down=(3,))))
    assert made._died is False
    made.bench.deaths.append((0, role, code))
    assert made._died is died


@pytest.mark.parametrize("action", ["kill", "kill-child"])
def test_a_kill_that_meets_nobody_is_an_error_of_the_trial(action: str) -> None:
    nobody = SimpleNamespace(alive=False, children=list)
    bench = SimpleNamespace(processes={"worker": nobody}, killed={}, _ending=set())
    stage = SimpleNamespace(kill=lambda role, **more: Bench.kill(cast("Bench", bench), role, **more))
    striker = Striker(cast("Any", stage))

    async def strike() -> None:
        striker(Hit(Cell(CELL.point, "after", action), cast("Any", None), None))
        await asyncio.gather(*striker.tasks, return_exceptions=True)

    asyncio.run(strike())
    assert [type(each) for each in striker.errors] == [ProcessLookupError]
    assert bench.killed == {}


@pytest.mark.parametrize(
    ("configuration", "acked", "in_force"),
    [
        (DEFAULTS, "before", True),
        (DEFAULTS, "after", False),
        (LATE, "after", True),
        (LATE, "before", False),
        (Configuration(OWN.name, "", {"task_track_started": True}), "before", True),
    ],
)
def test_the_trace_shows_whether_the_configuration_is_in_force(
    configuration: Configuration, acked: str, in_force: bool
) -> None:
    """Celery copies settings when an application is finalized; a map of late acks may be one of early ones."""
    campaign = Campaign(mission(configuration), Options(), cast("Any", None))
    found = cast("Any", SimpleNamespace(acked=acked))
    if in_force:
        campaign._in_force(found)
    else:
        with pytest.raises(NoMap, match=f"is acknowledged {acked} its effect"):
            campaign._in_force(found)
