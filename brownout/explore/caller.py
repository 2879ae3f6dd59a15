"""The client of a trial, in a process of its own: `python -m brownout.explore.caller NAME`.

It connects to the abstract unix socket of that name, says what it is, and then does what it is told: one JSON object a
line, either way.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from celery import chain, chord, group
from celery.result import AsyncResult

from brownout.explore.hosted import app
from brownout.history.layout import describe

Say = Callable[..., None]


def signature(order: dict[str, Any]) -> Any:
    """What to send: a task by its name, or a canvas of several."""
    kind, name, keys = order["kind"], order["task"], order["keys"]
    args, kwargs = order.get("args"), order.get("kwargs", {})

    def one(key: str, task: str = name) -> Any:
        return app.tasks[task].si(*([key] if args is None else args), **kwargs)

    if kind == "chain":
        return chain(*(one(key) for key in keys))
    if kind == "group":
        return group(*(one(key) for key in keys))
    if kind == "chord":
        return chord([one(key) for key in keys[:-1]], app.tasks[order["body"]].s(keys[-1]))
    return one(keys[0])


def call(order: dict[str, Any], say: Say) -> None:
    """Send it, say so, wait for the result, say that."""
    what = signature(order)
    try:
        result: AsyncResult[Any] = what.apply_async(**order.get("options", {}))
    except Exception as error:
        say("refused", error=f"{type(error).__name__}: {error}")
        return
    say("accepted", tasks=[each.id for each in getattr(result, "results", None) or [result]])
    try:
        value = result.get(timeout=order["timeout"])
    except Exception as error:
        say("unread", error=f"{type(error).__name__}: {error}")
    else:
        say("read", value=value)


def main(name: str) -> None:
    """Serve orders until the other side closes."""
    with socket.socket(socket.AF_UNIX) as control:
        control.connect("\0" + name)
        lock = threading.Lock()

        def say(event: str, **data: Any) -> None:
            with lock:
                control.sendall(
                    json.dumps({"at": time.monotonic_ns(), "event": event} | data, default=str).encode() + b"\n"
                )

        app.finalize()
        say("ready", conf={key: app.conf.get(key) for key in CONF}, layout=describe(app))
        for line in control.makefile("rb"):
            call(json.loads(line), say)


CONF = (
    "task_acks_late",
    "broker_transport_options",
    "redis_socket_timeout",
    "redis_socket_connect_timeout",
    "result_backend_transport_options",
    "redis_backend_health_check_interval",
    "broker_connection_timeout",
    "worker_prefetch_multiplier",
    "task_default_queue",
)

if __name__ == "__main__":
    main(sys.argv[1])
