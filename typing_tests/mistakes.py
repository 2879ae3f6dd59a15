"""Mistakes in scenarios, one a line, that mypy must find: where it does not, its comment is an unused one, an error."""

import brownout
from brownout import (
    Lab,
    after,
    answers,
    at,
    at_least_once,
    at_most_once,
    cut,
    drained,
    event,
    get,
    kill,
    latency,
    p99,
    point,
    post,
    started,
    submit,
)

brownout.latnecy("1s")  # type: ignore[attr-defined]


def test_subject(lab: Lab) -> None:
    lab.workers("2")  # type: ignore[arg-type]
    lab.workers(2, pol="solo")  # type: ignore[call-arg]
    lab.workers(2, concurrency="1")  # type: ignore[arg-type]
    lab.workers(2, queues="slow")  # type: ignore[arg-type]
    lab.workers(2, restart=0)  # type: ignore[call-arg]
    lab.topology(beats=True)  # type: ignore[call-arg]
    lab.topology(env={"PACE": 1})  # type: ignore[dict-item]
    lab.topology(workers=2)  # type: ignore[arg-type]
    lab.services(service=object())  # type: ignore[arg-type]
    lab.drain()  # type: ignore[call-arg]


def test_load(lab: Lab) -> None:
    lab.load("GET /")  # type: ignore[arg-type]
    lab.load(get("/", every="1s"), last="5s")  # type: ignore[call-arg]
    get("/", count=1)  # type: ignore[call-arg]
    get("/", "1s")  # type: ignore[call-arg]
    get("/", every="1s", json={})  # type: ignore[call-arg]
    get("/", every="1s", count="3")  # type: ignore[arg-type]
    post("/", every="1s", data={})  # type: ignore[call-arg]
    post("/", every="1s", headers={"n": 1})  # type: ignore[dict-item]
    submit("shop.pay", count=1)  # type: ignore[call-arg]
    submit("shop.pay", every="1s", count="3")  # type: ignore[arg-type]
    submit("shop.pay", every="1s").with_options(queu="slow")  # type: ignore[call-arg]
    submit("shop.pay", every="1s").with_options(countdown="2s")  # type: ignore[arg-type]
    submit("shop.pay", every="1s").with_options(task_id="t-1")  # type: ignore[call-arg]
    get("/", every="1s", count=1).on(at("1s"))  # type: ignore[arg-type]


def test_faults(lab: Lab) -> None:
    lab.inject(kill(), on="worker-1")  # type: ignore[call-arg]
    lab.inject(kill, on="worker-1", when=started())  # type: ignore[arg-type]
    lab.inject(kill(), "worker-1", when=started())  # type: ignore[call-arg]
    lab.inject(kill(), target="worker-1", when=started())  # type: ignore[call-arg]
    lab.inject(kill(), on="worker-1", when="1s")  # type: ignore[arg-type]
    lab.inject(kill(), on="worker-1", at=at("1s"))  # type: ignore[call-arg]
    lab.inject(kill(), on="worker-1", when=after("1s"))  # type: ignore[arg-type]
    lab.inject(kill(), on="worker-1", when=started(), heal=at("3s"))  # type: ignore[arg-type]
    lab.inject(kill(), on="worker-1", when=started(), heal="3s")  # type: ignore[arg-type]
    kill(child=True)  # type: ignore[call-arg]
    cut("1s")  # type: ignore[call-arg]
    latency("1s", stream="up")  # type: ignore[arg-type]
    latency(dely="1s")  # type: ignore[call-arg]
    point("api->broker", "LPUSH", moment="later")  # type: ignore[arg-type]
    started(nth="5")  # type: ignore[arg-type]
    event("ok", "client", delay=None)  # type: ignore[arg-type]


def test_promises(lab: Lab) -> None:
    lab.promise(drained)  # type: ignore[arg-type]
    lab.promise([drained()])  # type: ignore[arg-type]
    at_least_once("4s")  # type: ignore[call-arg]
    at_least_once(in_time="4s")  # type: ignore[call-arg]
    at_most_once(of="ended")  # type: ignore[arg-type]
    answers(200)  # type: ignore[arg-type]
    answers({200}, within=None, paths="/")  # type: ignore[call-arg]
    p99("/", times="3")  # type: ignore[arg-type]
    lab.run().holds()  # type: ignore[attr-defined]
