"""What a trial makes of what it did not see: nothing good. On a stage of paper."""

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import httpx
import pytest

from brownout.explore.bench import Bench
from brownout.explore.bounds import Bounds
from brownout.explore.campaign import Campaign, NoMap, Options
from brownout.explore.cell import Cell, Point
from brownout.explore.client import HttpClient, Knowledge
from brownout.explore.conductor import Hit
from brownout.explore.found import Found
from brownout.explore.mission import DEFAULTS, HARDENED, LATE, OWN, STOCK, WORKLOADS, Configuration, Mission
from brownout.explore.outcome import Observation
from brownout.explore.stalls import Stalls
from brownout.explore.strike import Striker
from brownout.explore.trial import Trial
from brownout.history.event import Event
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


# --- what goes wrong with the trial itself


class Broken:
    """A bench of paper. `breaks` is what its background raises, `fails` what `set_up` raises."""

    def __init__(self, breaks: Exception | None = None, fails: Exception | None = None, ends: bool = True) -> None:
        self.mission, self.breaks, self.fails, self.ends = mission(), breaks, fails, ends
        self.kill = self.signal = self.restart_broker = 0
        self.pids = self.deaths = ()
        self.history = self.files = Path("nothing")
        self.done: list[str] = []

    async def set_up(self, _conductor: object, _launcher: object, tasks: asyncio.TaskGroup, _layout: object) -> None:
        async def background() -> None:
            if self.breaks:
                raise self.breaks

        tasks.create_task(background())
        if self.fails:
            raise self.fails

    async def client(self) -> None:
        await asyncio.Event().wait()

    async def clear(self) -> None:
        self.done.append("clear")
        if not self.ends:
            raise OSError("a process does not end")

    async def mend(self) -> None:
        self.done.append("mend")

    def logs(self) -> dict[str, str]:
        return {"worker.log": "the last words", "empty.log": ""}


def broken(bench: Broken) -> Found:
    return asyncio.run(Trial(cast("Bench", bench), cast("Any", None), [CELL], bounds=Bounds.of({})).run())


def test_a_task_of_the_bench_that_raises_ends_the_trial_without_a_verdict() -> None:
    """As a supervisor that cannot start its process again: nobody consumes, and the application is not to blame."""
    bench = Broken(breaks=OSError("no more processes"))
    found = broken(bench)
    assert (found.word, found.why, found.busy) == ("unknown", "OSError: no more processes", False)
    assert "in background" in found.trouble
    assert found.logs["worker.log"] == "the last words"
    assert bench.done == ["clear", "mend"]


def test_what_the_supervisor_of_a_real_bench_raises_is_the_trials_error() -> None:
    async def kill() -> None:
        raise OSError("a process does not end")

    async def supervised() -> None:
        exited = asyncio.Event()
        exited.set()
        process = Mock(exited=exited, returncode=1, kill=kill)
        async with asyncio.TaskGroup() as tasks:
            made = cast("Any", SimpleNamespace(_tasks=tasks, _background=set(), _ending=set(), deaths=[]))
            Bench._do(made, Bench._supervise(made, "worker", process))

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(supervised())
    assert [str(error) for error in caught.value.exceptions] == ["a process does not end"]


def test_a_bench_that_cannot_be_set_up_or_cleared_gives_no_verdict() -> None:
    bench = Broken(fails=RuntimeError("somebody else is there"))
    assert broken(bench).why == "RuntimeError: somebody else is there"
    assert bench.done == ["clear", "mend"]
    bench = Broken(fails=RuntimeError("somebody else is there"), ends=False)
    assert broken(bench).why == "OSError: a process does not end"
    assert bench.done == ["clear", "mend"], "the rest is tried all the same"


def test_what_does_not_come_in_time_may_be_tried_again() -> None:
    found = broken(Broken(fails=TimeoutError("not within 20 s: the workers consume")))
    assert (found.why, found.busy) == ("not within 20 s: the workers consume", True)
    assert "passed without a CPU" in found.trouble


OBSERVED = Observation({"job-1": 1}, {"job-1": 1}, "accepted", "read", frozenset({"SUCCESS"}))


@pytest.mark.parametrize(
    ("starved", "effects", "word", "busy"),
    [(0.0, 1, "once+api-stalled", False), (180.0, 1, "unknown", True), (180.0, 0, "lost", False)],
)
def test_a_stall_of_the_api_is_judged_without_its_time_without_a_cpu(
    starved: float, effects: int, word: str, busy: bool
) -> None:
    """Doubt about a time excuses nothing that is no time."""
    made = trial(CELL)
    made.conductor.hits = [cast("Any", None)]
    made.saw = cast("Any", SimpleNamespace(stalls=Stalls()))
    made.bench.logs = dict  # type: ignore[method-assign]
    for at, kind, data in ((1, "ready", {}), (2, "stall", {"ms": 310.0, "starved_ms": starved})):
        made.saw.stalls.see(Event(at * 10**9, "api", kind, pid=7, data=data))
    seen = replace(OBSERVED, effects={"job-1": effects}, api_stalled=made.saw.stalls.sure)
    found = made._judged(seen, 0.0)
    assert (found.word, found.busy) == (word, busy)
    if busy:
        assert found.why == (
            "the API's loop may have stood still for 310 ms, 180 ms of them without a CPU; the limit is 250 ms"
        )


def test_the_time_out_of_get_is_one_of_fair_time() -> None:
    made = trial(CELL)
    made.about.answered = "accepted"
    made._lose_patience(1.0)
    made._lose_patience(1.0 + made.bounds.result)
    assert made.about.told == "waiting"
    made._lose_patience(1.1 + made.bounds.result)
    assert made.about.told == "unread"
    made.about.learn("read")
    assert made.about.told == "unread", "it had given up"


def test_a_bench_that_did_not_open_can_be_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done: list[str] = []

    def start() -> None:
        raise OSError("no server")

    server = SimpleNamespace(start=start, stop=lambda: done.append("stopped"), pid=None)
    monkeypatch.setattr("brownout.explore.bench.ladder.server", lambda *_, **__: server)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def main() -> None:
        for opened in (False, True):
            bench = Bench(mission(), 1, cast("Any", None), cast("Any", None))
            if opened:
                with pytest.raises(OSError, match="no server"):
                    await bench.open()
                with pytest.raises(RuntimeError, match="bench 1 is not open"):
                    _ = bench.direct
            await bench.close()
            assert not bench.folder.exists()

    asyncio.run(main())
    assert done == ["stopped"]
