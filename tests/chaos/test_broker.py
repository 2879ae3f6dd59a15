"""The broker is killed, stands still, fills up, refuses, goes silent, and comes back."""

from dataclasses import replace

import pytest

from brownout import (
    Fault,
    Lab,
    after,
    answers,
    at,
    bandwidth,
    blackhole,
    cut,
    disconnect,
    event,
    flap,
    flush,
    freeze,
    half_open,
    kill,
    latency,
    loading,
    out_of_clients,
    out_of_memory,
    post,
    read_only,
    refuse,
    reset,
    reset_peer,
    slicer,
    slow_close,
    spike,
    started,
    stop,
    submit,
)
from tests.chaos.promises import by_name, jobs_end_once, published_in_time

pytestmark = pytest.mark.chaos
JOB = post("/process-data", json={"n": "{n}"}, every="80ms", count=6)
#: Some jobs before the fault, and some during it, however late it comes.
JOBS = (JOB, replace(JOB, count=10).on(event("fault-start", "nemesis")))
ANSWERED = answers({202}, within="2s", path="/process-data")

STATES = [kill(), stop(), out_of_memory(), read_only(), loading(), out_of_clients(), freeze(), disconnect(), flush()]
NETWORK = [refuse(), blackhole(), half_open(), latency("300ms", "100ms"), spike("2s", nth=20), cut(), reset(),
           flap(times=2, down="500ms", up="500ms"), bandwidth(1), slicer(16, "2ms"),
           reset_peer("100ms")]  # fmt: skip


@pytest.mark.parametrize("fault", STATES, ids=str)
def test_the_broker_fails(lab: Lab, fault: Fault) -> None:
    """Redis is in trouble for two seconds, with its data kept: every request is answered, every job ends once."""
    lab.load(*JOBS)
    lab.inject(fault, on="broker", when=started(nth=3), heal=after("2s"))
    lab.promise(*jobs_end_once(), ANSWERED)
    lab.run().must_hold()


ON_BOTH = [pytest.param(fault, wire, marks=pytest.mark.wire(wire), id=f"{fault}-{wire}")
           for fault in NETWORK for wire in sorted(fault.kind.wires)]  # fmt: skip


@pytest.mark.parametrize(("fault", "wire"), ON_BOTH)
def test_the_way_to_the_broker_fails(lab: Lab, fault: Fault, wire: str) -> None:
    """All edges to Redis are in trouble for two seconds, on each wire that can do it: every job ends once."""
    lab.load(*JOBS)
    lab.inject(fault, on="broker", when=started(nth=3), heal=after("2s"))
    lab.promise(*jobs_end_once(), ANSWERED)
    outcome = lab.run()
    assert f'"wire": "{wire}"' in (outcome.result.folder / "env.json").read_text()
    outcome.must_hold()


@pytest.mark.parametrize(
    "wire", [pytest.param(wire, marks=pytest.mark.wire(wire)) for wire in ("builtin", "toxiproxy")]
)
def test_a_dead_workers_connections_linger(lab: Lab, wire: str) -> None:
    """Redis hears late that a worker's connections have ended, and hands its next message to nobody."""
    lab.workers(2)
    lab.load(*JOBS)
    lab.inject(slow_close("1s"), on="worker-1->broker", when=at(0))
    lab.inject(kill(), on="worker-1", when=started(source="worker-1", nth=2))
    lab.promise(*jobs_end_once(), ANSWERED)
    lab.run().must_hold()


@pytest.mark.launch("cold")
def test_one_worker_is_cut_off(lab: Lab) -> None:
    """One worker's way to its broker is silent; the other one works on."""
    lab.workers(2)
    lab.load(*JOBS)
    lab.inject(blackhole(), on="worker-1->broker", when=started(nth=3), heal=after("4s"))
    lab.promise(*jobs_end_once(), ANSWERED)
    lab.run().must_hold()


def test_the_result_backend_takes_nothing_down(lab: Lab) -> None:
    """Results of tasks that were sent past the store go nowhere for a while; every task is done, once."""
    lab.load(submit("system.divide", 1, 2, every="80ms", count=12))
    lab.inject(refuse(), on="worker->backend", when=started(nth=3), heal=after("2s"))
    lab.promise(*by_name())
    lab.run().must_hold()


def half_open_publishers(lab: Lab) -> None:
    """First the relay gets work, and with it a connection; then it and the API lose theirs without being told."""
    lab.load(post("/process-data", json={"n": "{n}"}, every="250ms", count=24))
    lab.inject(refuse(), on="api->broker", when=started(), heal=after("1s"))
    relay_publishes = event("connected", "wire", edge="relay->broker", delay="1s")
    lab.inject(half_open(), on="api->broker", when=relay_publishes, heal=after("16s"))
    lab.inject(half_open(), on="relay->broker", when=relay_publishes, heal=after("16s"))


def test_dead_links_do_not_stop_publishing(lab: Lab) -> None:
    """Links that are dead without a word: their owners give up on them in time, and publish on new ones."""
    half_open_publishers(lab)
    lab.promise(*jobs_end_once(), published_in_time())
    lab.run().must_hold()
