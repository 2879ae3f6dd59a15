"""`python -m brownout.probes.caller SOCKET [results]`: sends and calls tasks as any process of the application would.

The application (`BROWNOUT_CELERY`, with the settings of `BROWNOUT_CONF` laid over it) is imported, so its routes,
default queue, serializer, compression, transport options and its tasks' own options hold. The process connects to the
unix socket (`@name` is an abstract one) and reads orders, one line of JSON each. Each answer is a line of JSON with the
order's `id`, the `event`, its time `at` in nanoseconds, and `last` when nothing follows. Orders run at once.

Without `results` the application has no result backend here: Celery subscribes to a task's result before it sends the
task, and what a client sends must not depend on that.
"""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

from celery import chain, chord, group
from celery.signals import import_modules

from brownout.probes.layout import describe

#: As many as the harness has clients at once (workload/generator.py).
THREADS = 64
#: Without `results`, where the application sets no others: an order on a dead edge comes back.
TIMEOUTS = {"socket_timeout": 5.0, "socket_connect_timeout": 5.0}
Say = Callable[..., None]


def prepare(app: Any, *, results: bool) -> None:
    """Import all tasks of the application, and take its result backend away unless `results` are asked for."""
    if not results:
        app.backend_cls = "disabled"
    import_modules.send(sender=app)
    app.loader.import_default_modules()
    app.finalize()
    if not results:
        app.conf.broker_transport_options = {**TIMEOUTS, **(app.conf.broker_transport_options or {})}


def send(app: Any, order: dict[str, Any], say: Say) -> None:
    """Send one task by its name, and say how it went."""
    name, args, kwargs, options = order["task"], order["args"], order["kwargs"], order["options"]
    try:
        task: Any = app.tasks.get(name)
        if task is not None:  # what Celery before 5.7 leaves to Task.apply_async
            own = {key: value for key, value in task._get_exec_options().items() if value is not None}
            options = {**own, **options}
        app.send_task(name, args, kwargs, **options)
    except Exception as error:
        say("failed", last=True, error=_text(error))
    else:
        say("sent", last=True)


def signature(app: Any, order: dict[str, Any]) -> Any:
    """What is called: a task, or a canvas of several."""
    canvas, effects = order["canvas"], order["effects"]
    args, kwargs = order["args"], order["kwargs"]

    def one(effect: str) -> Any:
        return app.tasks[order["task"]].si(*([effect] if args is None else args), **kwargs)

    if canvas == "chain":
        return chain(*[one(effect) for effect in effects])
    if canvas == "group":
        return group(*[one(effect) for effect in effects])
    if canvas == "chord":
        return chord([one(effect) for effect in effects[:-1]], app.tasks[order["body"]].s(effects[-1]))
    return one(effects[0])


def call(app: Any, order: dict[str, Any], say: Say) -> None:
    """Send it, say so, wait for the result, say that."""
    try:
        result = signature(app, order).apply_async(**order["options"])
    except Exception as error:
        say("refused", last=True, error=_text(error))
        return
    say("accepted", tasks=[part.id for part in getattr(result, "results", None) or [result]])
    try:
        value = result.get(timeout=order["timeout"])
    except Exception as error:
        say("unread", last=True, error=_text(error))
    else:
        say("read", last=True, value=value)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def main(address: str, *words: str) -> None:
    """Serve orders until the harness closes the socket; what is under way is given up then."""
    from brownout.probes.hosted import app

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the process may be killed
    control = socket.socket(socket.AF_UNIX)
    control.connect("\0" + address[1:] if address.startswith("@") else address)
    lock = threading.Lock()

    def say(number: int, event: str, **told: Any) -> None:
        answer = {"id": number, "event": event, "at": time.monotonic_ns(), **told}
        with lock:
            control.sendall(json.dumps(answer, default=str).encode() + b"\n")

    prepare(app, results="results" in words)
    say(0, "ready", layout=describe(app))
    pool = ThreadPoolExecutor(THREADS)
    for line in control.makefile("rb"):
        order = json.loads(line)

        def tell(event: str, _number: int = order["id"], **told: Any) -> None:
            say(_number, event, **told)

        pool.submit(call if "canvas" in order else send, app, order, tell)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
