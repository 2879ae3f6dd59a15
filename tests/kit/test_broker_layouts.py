"""The application's own producer, a real Redis, the probe and the checkers: whatever the application's keys are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from celery import Celery
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from brownout import at_least_once, drained
from brownout.check.registry import judge
from brownout.check.verdict import Verdict
from brownout.history.broker_probe import looked
from brownout.history.layout import Layout
from brownout.history.view import History
from brownout.probes.caller import send
from brownout.probes.layout import describe
from brownout.probes.recorder import Recorder
from brownout.subject.servers.redis_server import RedisServer
from tests.history_layouts import PREFIXES, QUEUES, SEPARATORS, STEPS

EXAMPLES = 60
TASKS = ("shop.order", "shop.mail", "shop.report")


@dataclass(frozen=True)
class Shop:
    """An application's settings, and the queues that its worker reads with `-Q`; none: those of the settings."""

    conf: Mapping[str, Any]
    reads: tuple[str, ...] = ()

    def app(self, server: RedisServer) -> Celery:
        made = Celery("shop", broker=f"redis://127.0.0.1:{server.port}/0", set_as_current=False)
        made.conf.update(self.conf)
        made.amqp.queues.select(list(self.reads))
        return made


@st.composite
def shops(draw: st.DrawFn) -> Shop:
    """Prefix, separator, steps, default queue, routes, several queues. Everything that is routed is read."""
    options = {
        "global_keyprefix": draw(st.sampled_from(PREFIXES)),
        "sep": draw(st.sampled_from(SEPARATORS)),
        "priority_steps": list(draw(st.sampled_from(STEPS))),
        "unacked_key": draw(st.sampled_from(["unacked", "open"])),
    }
    default = draw(st.sampled_from(QUEUES))
    routes = draw(st.dictionaries(st.sampled_from(TASKS), st.sampled_from(QUEUES)))
    conf = {
        "broker_transport_options": options,
        "task_default_queue": default,
        "task_routes": {task: {"queue": queue} for task, queue in routes.items()},
        "task_default_priority": draw(st.sampled_from([None, 0, 2, 9])),
        "task_serializer": draw(st.sampled_from(["json", "pickle"])),
        "task_compression": draw(st.sampled_from([None, "zlib"])),
        "task_protocol": draw(st.sampled_from([1, 2])),
    }
    read = {default, *routes.values()}
    if read == {default} and draw(st.booleans()):
        return Shop(conf)
    return Shop(conf, tuple(sorted(read)))


class Trial:
    """A worker by hand: it takes messages as kombu's consumer does, and everything is written to a history."""

    def __init__(self, app: Celery, server: RedisServer, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.app, self.path, self.server = app, path, server
        self.told = describe(app)
        self.layout = Layout.of(self.told)
        self._say("worker-1", "ready", layout=self.told)

    def _say(self, source: str, kind: str, **more: Any) -> None:
        with closing(Recorder(self.path, source)) as recorder:
            recorder.record(kind, **more)

    def submit(self, *names: str, **options: Any) -> list[str]:
        """Send these tasks as the process that calls for the clients does; their ids, which are their keys."""
        keys = [f"op-{n + 1}" for n in range(len(names))]
        for key, name in zip(keys, names, strict=True):
            self._say("client", "invoke", key=key, task=key, op="submit", name=name)
            order = {"task": name, "args": [key], "kwargs": {}, "options": {**options, "task_id": key}}
            said: list[str] = []
            send(self.app, order, lambda event, said=said, **_: said.append(event))
            assert said == ["sent"]
            self._say("client", "ok", key=key, task=key, op="submit", name=name)
        return keys

    def work(self) -> list[str]:
        """Take all that the worker's queues have, do it, acknowledge it; a look between the two finds it unacked."""
        done = []
        with self.app.connection_for_read() as connection:
            channel: Any = connection.channel()
            for queue in self.layout.queues:
                while message := channel.basic_get(queue):
                    key = str(message.properties["correlation_id"])
                    assert self.look().data["by_task"][key] == "unacked"
                    self._say("effects", "effect", task=key, name="work")
                    message.ack()
                    done.append(key)
        return done

    def look(self) -> Any:
        with self.server.client() as client, closing(Recorder(self.path, "broker")) as recorder:
            found = looked(client, self.layout)
            recorder.append(found.to_json())
        assert found.kind == "sample", found.data
        return found

    def drain(self) -> None:
        """Two looks and the end of the drain, as a trial has them."""
        for _ in range(2):
            last = self.look()
        left = any((*last.data["queues"].values(), last.data["unacked"]))
        self._say("run", "drained", ok=not left, left="", recovery=0.0)

    def judged(self, promise: Any) -> Verdict:
        return judge(History.load(self.path), promise)


@contextmanager
def running(shop: Shop, server: RedisServer, folder: Path) -> Iterator[Trial]:
    with server.client() as client:
        client.flushall()
    app = shop.app(server)
    try:
        yield Trial(app, server, folder / "history.ndjson")
    finally:
        app.close()


def removed(client: redis.Redis, task: str) -> bytes:
    """Take a task's message out of whatever list it lies in, without a word on any layout."""
    for key in client.scan_iter(_type="list"):
        for raw in client.lrange(key, 0, -1):
            if json.loads(raw)["properties"]["correlation_id"] == task:
                client.lrem(key, 1, raw)  # type: ignore[arg-type]  # bytes are as good
                assert isinstance(raw, bytes)
                return raw
    raise LookupError(f"no list has a message of {task}")


lots = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@lots
@given(shops(), st.lists(st.sampled_from(TASKS), min_size=2, max_size=4), st.data())
def test_nothing_is_lost_without_a_fault_and_what_was_taken_away_is_found(
    redis_server: RedisServer, tmp_path: Path, shop: Shop, names: list[str], data: st.DataObject
) -> None:
    with running(shop, redis_server, tmp_path) as trial:
        keys = trial.submit(*names)
        seen = trial.look().data
        assert sorted(seen["by_task"]) == keys
        assert sum(seen["queues"].values()) == len(keys)
        assert set(seen["by_task"].values()) <= set(trial.layout.queues)
        gone = data.draw(st.sampled_from([None, *keys]))
        with redis_server.client() as client:
            if gone:
                removed(client, gone)
        assert sorted(trial.work()) == [key for key in keys if key != gone]
        trial.drain()
        assert trial.judged(drained()).validity == "valid"
        found = trial.judged(at_least_once())
        assert [(anomaly.kind, anomaly.key) for anomaly in found.anomalies] == ([("lost", gone)] if gone else [])
        assert (found.validity == "valid") is (gone is None), found.why


@lots
@given(shops(), st.booleans())
def test_what_lies_in_a_queue_that_no_worker_reads_is_called_so(
    redis_server: RedisServer, tmp_path: Path, shop: Shop, without_prefix: bool
) -> None:
    with running(shop, redis_server, tmp_path) as trial:
        done, left = trial.submit(TASKS[0], TASKS[1])
        prefix, queue = trial.layout.prefix, "q-nobody"
        with redis_server.client() as client:
            key = queue if without_prefix else trial.layout.key(queue, trial.layout.steps[-1])
            client.lpush(key, removed(client, left))
        assert trial.work() == [done]
        trial.drain()
        named = f"{queue} (without the prefix {prefix})" if without_prefix and prefix else queue
        (anomaly,) = trial.judged(at_least_once()).anomalies
        assert (anomaly.kind, anomaly.key) == ("misrouted", left)
        assert anomaly.sentence.endswith(f"lies in queue {named}, which no worker of the scenario reads.")
        (anomaly,) = trial.judged(drained()).anomalies
        assert f"1 in queue {named}, which no worker of the scenario reads" in anomaly.sentence


def test_a_task_s_own_options_hold_as_for_apply_async(redis_server: RedisServer, tmp_path: Path) -> None:
    with running(Shop({}), redis_server, tmp_path) as trial:

        @trial.app.task(name="shop.fast", serializer="pickle")
        def _fast(key: str) -> str:
            return key

        (key,) = trial.submit("shop.fast")
        with redis_server.client() as client:
            (sent,) = client.lrange(trial.layout.key("celery"), 0, -1)
        assert json.loads(sent)["content-type"] == "application/x-python-serialize"
        assert trial.look().data["by_task"] == {key: "celery"}


def test_lists_that_hold_no_tasks_are_nobody_s_backlog(redis_server: RedisServer, tmp_path: Path) -> None:
    """An application's own lists, and the answers of remote control."""
    with running(Shop({}), redis_server, tmp_path) as trial:
        with redis_server.client() as client:
            client.rpush("cart", "apple", "pear")
            reply = {"body": "", "headers": {"ticket": "x"}, "properties": {"delivery_tag": "y"}}
            client.rpush("reply.celery.pidbox", json.dumps(reply))
        assert trial.look().data["queues"] == {"celery": 0}


def test_a_broker_whose_unacked_is_no_hash_is_a_look_that_failed(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.flushall()
        client.set("unacked", "a text")
        found = looked(client, Layout())
        client.flushall()
    assert (found.kind, "WRONGTYPE" in found.data["error"]) == ("sample-failed", True)
