"""Trials on real servers, with real forked workers: what they find, and that they leave nothing behind."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from brownout.explore.bench import Bench
from brownout.explore.bounds import Bounds
from brownout.explore.campaign import scouted
from brownout.explore.cell import Cell, Point
from brownout.explore.found import Found
from brownout.explore.launcher import Forked
from brownout.explore.mission import DEFAULTS, HARDENED, LATE, STOCK, WORKLOADS, Configuration, Mission
from brownout.explore.trial import Trial
from brownout.subject import ladder
from brownout.subject.ports import HOST
from brownout.subject.waiting import eventually
from brownout.wire import Wire
from tests.kit import leftovers

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfds (Linux)")

ROOT = Path(__file__).parents[2]
META = "celery-task-meta-<id>"
LPUSH = Point("client->broker", "LPUSH celery")
DELIVER = Point("worker->broker", "BRPOP celery")
ZADD = Point("worker->broker", "ZADD unacked_index;HSET unacked")
ACK = Point("worker->broker", "ZREM unacked_index;HDEL unacked")
ASK = Point("worker->backend", f"GET {META}")
STORE = Point("worker->backend", f"SETEX {META};PUBLISH {META}")
CLIENT = [f"{command} {META}" for command in ("SUBSCRIBE", "GET", "PUSH", "UNSUBSCRIBE")]

#: The study's outcomes for the current Celery: a cell's configuration, where and how, the word.
KNOWN: Mapping[str, tuple[Configuration, str, str]] = {
    "a delivered message is lost before it is registered": (DEFAULTS, f"{ZADD}/before-cut", "lost"),
    "an error reply loses it and ends the worker": (DEFAULTS, f"{ZADD}/before-oom", "lost+worker-dead"),
    "registered and forgotten": (DEFAULTS, f"{ZADD}/after-cut", "stuck"),
    "a publish whose reply is lost": (DEFAULTS, f"{LPUSH}/after-cut", "duplicate"),
    "a publish that comes late although it was given up": (HARDENED, f"{LPUSH}/before-late", "duplicate"),
    "a caller that dies": (DEFAULTS, f"{LPUSH}/before-kill", "unanswered"),
    "a success that is stored as a failure": (DEFAULTS, f"{ASK}/before-cut", "misreported"),
    "a delivery that ends with the server": (DEFAULTS, f"{DELIVER}/after-restart-broker", "lost"),
    "an ack that is never answered": (DEFAULTS, f"{ACK}/after-never", "once+silent"),
    "an idle connection that ends": (DEFAULTS, f"{DELIVER.edge}/{DELIVER.label}[idle]#1/before-cut", "recovered"),
}


@dataclass
class Outcome:
    """Of one trial, and what its bench still had some time after it."""

    found: Found
    left: Sequence[object] = ()


@dataclass
class Results:
    free: dict[str, Outcome] = field(default_factory=dict)  # configuration: without a fault
    cells: dict[str, Outcome] = field(default_factory=dict)
    missed: Outcome | None = None
    two: Outcome | None = None
    unclean: Outcome | None = None
    garbled: list[Any] = field(default_factory=list)
    during: leftovers.Traces | None = None


async def stays(bench: Bench) -> Sequence[object]:
    """What of a trial is there although it is over."""
    for _ in range(500):
        if not (found := [*bench.processes, *await bench.direct.clients()]):
            return ()
        await asyncio.sleep(0.01)
    return found


class Ground:
    """Runs all trials of this file at once; on the wire's loop."""

    def __init__(self, wire: Wire, folder: Path) -> None:
        self.wire, self.folder, self.results = wire, folder, Results()
        self.rung = ladder.find("local")
        self.bounds: dict[str, Bounds] = {}
        self.order: dict[str, tuple[Point, ...]] = {}
        self._count = 0

    async def run(self) -> None:
        async with AsyncExitStack() as stack:
            self.forked = await Forked.start(scout=scouted(mission(DEFAULTS)), log=self.folder / "zygote.log")
            stack.push_async_callback(self.forked.close)
            await asyncio.gather(*(self._free(stack, each) for each in (DEFAULTS, LATE, HARDENED)))
            works = [self._cell(stack, name, known, cell) for name, (known, cell, _) in KNOWN.items()]
            await asyncio.gather(*works, self._missed(stack), self._unclean(stack), self._two(stack))
            self.results.during = await asyncio.to_thread(leftovers.traces, self.folder)

    async def _bench(self, stack: AsyncExitStack, known: Configuration, of: Mission | None = None) -> Bench:
        bench = Bench(of or mission(known), self._count, self.wire, self.rung)
        self._count += 1
        stack.push_async_callback(bench.close)
        await bench.open()
        return bench

    async def _free(self, stack: AsyncExitStack, known: Configuration) -> None:
        bench = await self._bench(stack, known)
        self.bounds[known.name], self.layout = await bench.ask(self.forked)
        found = await Trial(bench, self.forked, bounds=self.bounds[known.name], layout=self.layout).run()
        self.order[known.name] = found.points
        self.results.free[known.name] = Outcome(found, await stays(bench))

    async def _try(self, bench: Bench, cell: str) -> Outcome:
        known = bench.mission.configuration.name
        bounds, order = self.bounds[known], self.order[known]
        trial = Trial(bench, self.forked, [Cell.parse(cell)], bounds=bounds, order=order, layout=self.layout)
        return Outcome(await trial.run(), await stays(bench))

    async def _cell(self, stack: AsyncExitStack, name: str, known: Configuration, cell: str) -> None:
        self.results.cells[name] = await self._try(await self._bench(stack, known), cell)

    async def _missed(self, stack: AsyncExitStack) -> None:
        again = Point(LPUSH.edge, LPUSH.label, 9)
        self.results.missed = await self._try(await self._bench(stack, DEFAULTS), f"{again}/after-cut")

    async def _two(self, stack: AsyncExitStack) -> None:
        """One of two workers falls silent; the other one takes the probe."""
        two = replace(mission(DEFAULTS), workload=WORKLOADS["two-workers"])
        cell = f"worker-1->broker/{ACK.label}#1/after-never"
        self.results.two = await self._try(await self._bench(stack, DEFAULTS, two), cell)

    async def _unclean(self, stack: AsyncExitStack) -> None:
        bench = await self._bench(stack, DEFAULTS)
        with socket.create_connection((HOST, bench.server.port)):
            trial = Trial(bench, self.forked, bounds=self.bounds["defaults"], layout=self.layout)
            self.results.unclean = Outcome(await trial.run())


def mission(known: Configuration) -> Mission:
    return Mission(STOCK, ROOT, known, WORKLOADS["task"], "brownout.explore.stock.work")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("map")


@pytest.fixture(scope="module")
def results(folder: Path) -> Iterator[Results]:
    def heard(kind: str, data: dict[str, Any]) -> None:
        if kind == "garbled":
            ground.results.garbled.append(data)

    with pytest.MonkeyPatch.context() as patch, Wire(on_event=heard) as wire:
        patch.setenv(leftovers.MARK, str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        try:
            ground = Ground(wire, folder)
        except ladder.NoRedis as error:
            pytest.skip(str(error))
        asyncio.run_coroutine_threadsafe(ground.run(), wire.loop).result(120)
        yield ground.results


def labels(found: Found, edge: str) -> list[str]:
    return [f"{point.label}#{point.ordinal}" for point in found.points if point.edge == edge]


@pytest.mark.parametrize("configuration", ["defaults", "late", "hardened"])
def test_without_a_fault_a_task_takes_effect_once(results: Results, configuration: str) -> None:
    found = results.free[configuration].found
    assert (found.word, found.why, found.reached) == ("once", "", 0), found.logs
    assert 0.1 < found.seconds < found.took


@pytest.mark.parametrize("configuration", ["defaults", "late"])
def test_a_life_is_the_same_points_in_the_same_order_on_each_edge(results: Results, configuration: str) -> None:
    found = results.free[configuration].found
    assert labels(found, "client->broker") == [f"{LPUSH.label}#1"]
    assert labels(found, "client->backend") == [f"{label}#1" for label in CLIENT]
    assert labels(found, "worker->broker") == [f"{point.label}#1" for point in (DELIVER, ZADD, ACK)]
    assert labels(found, "worker->backend") == [f"{point.label}#1" for point in (ASK, STORE)]
    assert found.times[LPUSH] < found.times[DELIVER] < found.times[ZADD] < found.times[STORE]
    assert found.samples[LPUSH][0][:2] == (b"LPUSH", b"celery")
    assert [argv[0] for argv in found.samples[ACK]] == [b"MULTI", b"ZREM", b"HDEL", b"EXEC"]


def test_the_trace_tells_which_configuration_was_under_test(results: Results) -> None:
    early, late, hardened = (results.free[each].found for each in ("defaults", "late", "hardened"))
    assert early.times[ACK] < early.times[STORE]
    assert late.times[ACK] > late.times[STORE]
    assert hardened.times[ACK] > hardened.times[STORE]


@pytest.mark.parametrize("name", KNOWN)
def test_a_cell_has_its_known_outcome(results: Results, name: str) -> None:
    found, (_, cell, word) = results.cells[name].found, KNOWN[name]
    assert (found.word, found.reached) == (word, 1), (found.why, found.witness, found.logs)
    assert found.took < 60
    if "[idle]" not in cell:  # that comes before the submission
        action = Cell.parse(cell).action
        assert [line for line in found.witness if f": {action}, " in line], found.witness


def test_the_witness_shows_both_executions(results: Results) -> None:
    witness = results.cells["a publish whose reply is lost"].found.witness
    told = [" ".join(line.split()[2:]) for line in witness]
    struck, again = (
        told.index(f"{LPUSH.edge} LPUSH celery: cut, after it"),
        told.index(f"{LPUSH.edge} LPUSH celery again"),
    )
    assert struck < again
    assert told.count("effects effect") == told.count("worker started") == 2
    assert [float(line.split()[0]) for line in witness] == sorted(float(line.split()[0]) for line in witness)


def test_a_fault_that_was_not_seen_to_act_is_unknown(results: Results) -> None:
    assert results.missed
    found = results.missed.found
    assert (found.word, found.why, found.reached) == ("unknown", "client->broker/LPUSH celery#9 was not reached", 0)
    assert "worker.log" in found.logs


def test_one_of_two_workers_is_not_the_other(results: Results) -> None:
    assert results.two
    found = results.two.found
    assert (found.word.partition("+")[2], found.reached) == ("silent", 1), (found.why, found.witness, found.logs)


def test_a_connection_of_somebody_else_is_unknown(results: Results) -> None:
    assert results.unclean
    found = results.unclean.found
    assert (found.word, found.why.partition(":")[0], found.points) == ("unknown", "Unclean", ())


def processes(folder: Path) -> list[str]:
    """Those that belong to these trials; the reaper belongs to the whole session."""
    found = leftovers.traces(folder, besides=os.getpid()).processes.values()
    return [command for command in found if "brownout.subject.reaper" not in command]


def test_nothing_of_a_trial_is_left(results: Results, folder: Path) -> None:
    assert results.missed
    assert results.two
    outcomes = {**results.free, **results.cells, "missed": results.missed, "two": results.two}
    assert {name: outcome.left for name, outcome in outcomes.items()} == dict.fromkeys(outcomes, ())
    assert results.garbled == []
    assert results.during  # there was something to be found
    assert sum("redis-server" in each or "valkey-server" in each for each in results.during.processes.values())
    eventually(
        lambda: not processes(folder),
        within=10,
        what="every process ends",
        evidence=lambda: str(processes(folder)),
    )
    assert not [each for each in folder.iterdir() if each.is_dir()]


# --- an application with other settings than its own

FINAL = "app.finalize()"
HOSTED = """
from celery import Celery
app = Celery("tiny")
@app.task(name="tiny.work")
def work(): pass
"""
TELL = "from brownout.explore.hosted import app; print(app.conf.task_acks_late, app.tasks['tiny.work'].acks_late)"


@pytest.mark.parametrize(
    ("more", "conf", "said"),
    [
        ("", '{"task_acks_late": true}', "True True"),
        (FINAL, '{"task_acks_late": true}', "RuntimeError: tiny:app is finalized at import"),
        (FINAL, "{}", "False False"),
    ],
)
def test_settings_are_laid_over_where_tasks_take_them(tmp_path: Path, more: str, conf: str, said: str) -> None:
    (tmp_path / "tiny.py").write_text(HOSTED + more)
    env = {**os.environ, "BROWNOUT_CELERY": "tiny:app", "BROWNOUT_CONF": conf, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", TELL], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout + done.stderr).strip().splitlines()[-1].startswith(said), done.stderr
