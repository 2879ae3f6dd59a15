"""Every kind of traffic of Celery and redis-py: a Celery application with its tasks, and a script that sends."""

from __future__ import annotations

import os
import threading
from typing import Any

import redis
from celery import Celery, chord, group

URL = os.environ.get("TRAFFIC_URL", "redis://127.0.0.1:1/0")
MEGABYTE = 1_000_000
app = Celery("traffic", broker=URL, backend=URL)
app.conf.update(broker_connection_retry_on_startup=True, task_send_sent_event=True, task_track_started=True)


@app.task(name="traffic.echo")
def echo(value: Any) -> Any:
    """Return the value."""
    return value


@app.task(name="traffic.total")
def total(values: list[int]) -> int:
    """Return the sum."""
    return sum(values)


def events() -> threading.Thread:
    """A thread that captures the events of one task, from its sending on."""
    ready = threading.Event()

    def capture() -> None:
        def succeeded(_: object) -> None:
            receiver.should_stop = True

        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"task-succeeded": succeeded})
            receiver.on_consume_ready = lambda *_, **__: ready.set()
            receiver.capture(limit=None, timeout=None, wakeup=False)

    thread = threading.Thread(target=capture, name="events", daemon=True)
    thread.start()
    assert ready.wait(60)
    return thread


def send() -> None:
    """Send tasks, a group, a chord, a large payload, remote control, events, and plain requests of redis-py."""
    captured = events()
    assert echo.delay("x").get(timeout=60) == "x"
    captured.join(60)
    assert not captured.is_alive(), "no event came"
    large = "0123456789" * (MEGABYTE // 10)
    assert echo.delay(large).get(timeout=60) == large
    assert sorted(group(echo.s(n) for n in range(3)).delay().get(timeout=60)) == [0, 1, 2]
    assert chord([echo.s(n) for n in range(4)], total.s()).delay().get(timeout=60) == 6
    assert app.control.ping(timeout=5, limit=1)
    assert app.control.inspect(timeout=5, limit=1).active_queues()
    plain()


def plain() -> None:
    """Pipelines, a transaction, blocking reads that time out and that do not, and publish with subscribe."""
    with redis.Redis.from_url(URL) as client, redis.Redis.from_url(URL) as other, client.pubsub() as channel:
        pipe = client.pipeline(transaction=False)
        for n in range(1000):
            pipe.rpush("numbers", n)
        assert len(pipe.execute()) == 1000
        with client.pipeline(transaction=True) as transaction:
            assert transaction.set("one", b"\r\n\x00" * 100).get("one").execute()[1] == b"\r\n\x00" * 100
        assert client.blpop(["nothing"], timeout=1) is None
        read: list[object] = []
        waiting = threading.Thread(target=lambda: read.append(other.brpop(["later"], timeout=60)))
        waiting.start()
        client.lpush("later", "came")
        waiting.join()
        assert read == [(b"later", b"came")]
        channel.subscribe("news")
        assert channel.get_message(timeout=60)
        client.publish("news", "n" * 100_000)
        assert (channel.get_message(timeout=60) or {})["data"] == b"n" * 100_000


if __name__ == "__main__":
    send()
