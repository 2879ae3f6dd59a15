"""The public API as scenarios use it. `tox -e typing` checks this file; nothing runs it."""

from functools import partial
from pathlib import Path

from brownout import (
    AfterFault,
    Application,
    AtTime,
    Fault,
    Lab,
    OnEvent,
    Outcome,
    Promise,
    after,
    answers,
    at,
    at_least_once,
    at_most_once,
    cut,
    drained,
    effect,
    effectively_once,
    ended,
    error_reply,
    event,
    get,
    kill,
    latency,
    ledger,
    loop_never_stalls,
    must_show,
    p99,
    point,
    post,
    received,
    recovers,
    refuse,
    started,
    stop,
    submit,
)


def application() -> Application:
    return Application(celery="shop:app", api="shop:api", env={"BROKER": "{broker}"}, effects=ledger("effects.ndjson"))


class Service:
    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None: ...


def test_subject(lab: Lab) -> None:
    lab.workers()
    lab.workers(2)
    lab.workers(2, pool="solo", concurrency=1, queues=("slow",), restarts=0, options=("--without-mingle",))
    lab.topology(beat=True, relay=False, servers=0, persistent=False, env={"A": "b"}, settings={"task_acks_late": True})
    lab.services(service=partial(Service, failures=1))
    lab.drain("60s")
    lab.drain(60)


def test_load(lab: Lab) -> None:
    lab.load(get("/", every="20ms", lasting="2s"), get("/", every=0.02, count=3))
    lab.load(post("/jobs", json={"n": "{n}"}, headers={"x-key": "{key}"}, every="80ms", count=12))
    lab.load(post("/jobs", every="1s"), lasting="5s")
    lab.load(submit("shop.pay", 1, "two", every="1s", count=2, customer="c").with_options(queue="slow", countdown=2))
    lab.load(get("/", every=1, count=1).on(event("fault-start", "nemesis")))


def test_faults(lab: Lab, edge: str) -> None:
    strikes: list[OnEvent | AtTime] = [at("1s"), started(nth=5), event("ok", "client", delay="20ms", status=202)]
    heals: list[OnEvent | AfterFault | None] = [after("3s"), after(3), received(2, "worker-1"), None]
    for when in strikes:
        for heal in heals:
            lab.inject(latency("300ms"), on=edge, when=when, heal=heal)
    lab.inject(cut(), when=point("api->broker", "LPUSH", nth=3, moment="after"))
    lab.inject(error_reply("oom"), when=point("api->broker", "LPUSH"))
    faults: list[Fault] = [
        kill(),
        kill(children=True),
        stop(),
        refuse(),
        latency("1s", stream="upstream", toxicity=0.5),
    ]
    for fault in faults:
        lab.inject(fault, on="worker-1", when=effect(), heal=ended(source="worker-1"))


def test_promises(lab: Lab) -> None:
    promises: list[Promise] = [at_least_once(within="4s"), at_most_once(by="task", of="started"), drained()]
    lab.promise(*promises, effectively_once(by="idempotency_key"), answers({200, 503}, within="2s", path="/"))
    lab.promise(p99("/", times=3, floor="50ms"), loop_never_stalls(0.1), must_show("lost", under=at_least_once()))
    lab.promise(recovers(within="5s"))
    outcome: Outcome = lab.run()
    outcome.must_hold()
    folder: Path = outcome.result.folder
    assert folder
