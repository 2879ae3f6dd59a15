"""Whole trials on an application with other keys, queues and routes than kombu's defaults, with its real workers."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from brownout import (
    Application,
    Lab,
    after,
    at_least_once,
    backlog_within,
    drained,
    effectively_once,
    event,
    kill,
    ledger,
    recovers,
    refuse,
    started,
    submit,
    terminate,
)
from brownout.subject.caller import Caller, CallerEnded
from brownout.subject.parts import caller_part
from brownout.subject.processes.launcher import Cold
from brownout.subject.waiting import eventually

ROOT = Path(__file__).parents[2]
PREFIXED = {"broker_transport_options": {
    **{"global_keyprefix": "shop:", "visibility_timeout": 1},
    **{"unacked_restore_interval": 0.5, "unacked_restore_throttle": 1},
}}  # fmt: skip
ROUTED = {"task_default_queue": "default", "task_routes": {"shop.mail": {"queue": "high_priority"}}}


def shop(conf: dict[str, Any], *queues: str, **env: str) -> Application:
    """The shop with these settings; `queues` are read by its workers with -Q."""
    places = {"SHOP_BROKER": "{broker}", "SHOP_EFFECTS": "{files}/effects.ndjson", "SHOP_CONF": json.dumps(conf)}
    return Application(
        celery="tests.kit.shop:app", env={**places, **env}, queues=queues, effects=ledger("effects.ndjson")
    )


@pytest.fixture
def application(request: pytest.FixtureRequest) -> Application:
    """What the test is parametrized with."""
    assert isinstance(request.param, Application)
    return request.param


def on(*applications: Application) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("application", applications, indirect=True)


def kinds(found: Any) -> dict[str, tuple[str, set[str]]]:
    """Of each promise: what it came to, and the kinds of its anomalies."""
    return {
        verdict.promise.partition("(")[0]: (verdict.validity, {a.kind for a in verdict.anomalies})
        for verdict in found.verdicts
    }


@on(shop(PREFIXED))
def test_what_a_dead_worker_held_under_a_prefix_is_not_lost(lab: Lab) -> None:
    """The worker is killed for good; the other one gets its messages back after the visibility timeout."""
    lab.workers(2, pool="solo", restarts=0)
    lab.load(submit("shop.work", "{key}", 0.1, every="20ms", count=8))
    lab.inject(kill(), on="worker-1", when=started(nth=2, source="worker-1"))
    lab.promise(at_least_once(), drained())
    lab.run().must_hold()


@on(shop(PREFIXED))
def test_a_backlog_under_a_prefix_is_seen(lab: Lab) -> None:
    """The only worker is killed for good, and nobody does what is left."""
    lab.workers(1, pool="solo", restarts=0)
    lab.load(submit("shop.work", "{key}", 0.1, every="20ms", count=8))
    lab.inject(kill(), on="worker-1", when=started(nth=2))
    lab.promise(at_least_once(), drained(), backlog_within(2))
    lab.drain("1s")
    found = kinds(lab.run().result)
    assert found["drained"] == ("invalid", {"undrained"})
    assert found["backlog_within"] == ("invalid", {"backlog"})
    assert "lost" not in found["at_least_once"][1]


@on(shop({"broker_transport_options": {"sep": ":", "priority_steps": [0, 1, 2, 3]}}))
def test_a_warm_shutdown_beside_another_separator_and_other_steps_loses_nothing(lab: Lab) -> None:
    """The worker gives back what it had prefetched, by the binding table that every client writes in its own way."""
    lab.workers(1, pool="solo")
    lab.load(submit("shop.work", "{key}", 0.1, every="20ms", count=10))
    lab.inject(terminate(), on="worker-1", when=started(nth=3))
    lab.promise(effectively_once(), drained())
    lab.run().must_hold()


@on(
    shop({"task_default_queue": "shop"}, "shop"),
    shop({"task_default_queue": "shop"}),
    shop(ROUTED, "high_priority", "default"),
    shop({"task_default_queue": "shop", "broker_transport_options": {"sep": "|"}, "task_compression": "zlib"}),
)
def test_tasks_are_sent_as_the_application_routes_them(lab: Lab) -> None:
    lab.workers(1, pool="solo")
    lab.load(submit("shop.work", "{key}", every="20ms", count=2), submit("shop.mail", "{key}", every="20ms", count=2))
    lab.promise(effectively_once(), drained())
    lab.run().must_hold()


@on(shop(ROUTED))
def test_a_queue_that_no_worker_reads_is_named(lab: Lab) -> None:
    """Without -Q a worker reads the default queue; nobody reads what `task_routes` sends elsewhere."""
    lab.workers(1, pool="solo")
    lab.load(submit("shop.work", "{key}", every="20ms", count=2), submit("shop.mail", "{key}", every="20ms", count=1))
    lab.promise(at_least_once(), drained())
    lab.drain("1s")
    found = lab.run().result
    assert kinds(found) == {"at_least_once": ("invalid", {"misrouted"}), "drained": ("invalid", {"undrained"})}
    for verdict in found.verdicts:
        (anomaly,) = verdict.anomalies
        assert "in queue high_priority, which no worker of the scenario reads" in anomaly.sentence


@on(shop({}, SHOP_TRANSPORT="own:"))
def test_where_the_keys_are_not_known_the_answer_is_unknown_with_the_reason(lab: Lab) -> None:
    lab.workers(1, pool="solo")
    lab.load(submit("shop.work", "{key}", every="20ms", count=2))
    lab.promise(effectively_once(), drained(), backlog_within(2))
    lab.drain("500ms")
    found = lab.run().result
    assert {name: validity for name, (validity, _) in kinds(found).items()} == {
        **{"effectively_once": "valid", "drained": "unknown", "backlog_within": "unknown"},
    }
    assert all(
        "names its lists in its own way" in verdict.why for verdict in found.verdicts if verdict.validity == "unknown"
    )


@on(shop({}))
def test_a_client_whose_broker_refuses_for_a_while_sends_on(lab: Lab) -> None:
    """kombu publishes again; the process that sends has outlived the fault, and nothing was sent twice."""
    lab.workers(1, pool="solo")
    lab.load(submit("shop.work", "{key}", every="100ms", count=8))
    lab.inject(refuse(), on="client->broker", when=event("ok", "client", nth=2), heal=after("500ms"))
    lab.promise(effectively_once(), drained(), recovers(within="10s"))
    lab.run().must_hold()


def caller(folder: Path, **env: str) -> Caller:
    hosted = {"BROWNOUT_CELERY": "tests.kit.shop:app", "BROWNOUT_CONF": "{}", **env}
    make = partial(
        caller_part, application=Application(celery="tests.kit.shop:app"), results=False, root=ROOT, env=hosted
    )
    return Caller(Cold(), make, folder / "client.log")


def test_an_application_that_cannot_send_is_told_and_one_that_ends_too(tmp_path: Path) -> None:
    made = caller(tmp_path)
    try:
        eventually(lambda: made.ready, within=30, what="the application is imported", evidence=made.process.tail)
        assert "SerializerNotInstalled" in made.send("shop.work", ["op-1"], {}, {"serializer": "none"})
    finally:
        made.stop()
    with pytest.raises(CallerEnded, match="the shop is open"):
        made.send("shop.work", ["op-2"], {}, {})


def test_an_application_that_cannot_be_imported_is_told_with_its_error(tmp_path: Path) -> None:
    made = caller(tmp_path, SHOP_CONF="no JSON")
    try:
        with pytest.raises(CallerEnded, match="JSONDecodeError"):
            eventually(lambda: made.ready, within=30, what="the process ends", evidence=made.process.tail)
    finally:
        made.stop()


def test_who_waits_for_an_answer_when_the_caller_ends_is_told(tmp_path: Path) -> None:
    """A fault may kill it in the middle of an order: nobody knows then what it has done."""
    made = caller(tmp_path)
    try:
        eventually(lambda: made.ready, within=30, what="the application is imported", evidence=made.process.tail)
        made.process.signal(signal.SIGSTOP)
        order = {"task": "shop.work", "args": ["op-1"], "kwargs": {}, "options": {}}
        answers = made.ask(order)
        made.process.signal(signal.SIGKILL)
        assert [answer["event"] for answer in answers] == ["ended"]
        with pytest.raises(CallerEnded):
            made.ask(order)
        with pytest.raises(CallerEnded):
            _ = made.ready
    finally:
        made.stop()
