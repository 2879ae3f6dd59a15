"""`python -m brownout.probes.caller SOCKET [results]`: sends and calls tasks as any process of the application would.

The process imports the application (`BROWNOUT_CELERY`, with the Celery settings in `BROWNOUT_CONF`). Sending a task in
this process therefore uses the application's routes, default queue, serializer, compression and transport options, and
the options of its tasks. The process connects to the unix socket (`@name` is an abstract socket) and reads orders, one
JSON object a line. An answer is a line of JSON with the order's `id`, the `event`, the time `at` in nanoseconds, and
`last` when no other answer to this order follows. This process carries out several orders at the same time.

If `results` is not given, the application has no result backend in this process. Celery would subscribe to a task's
result before it sends the task, and the sending must not depend on the backend.
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

#: The number of threads, which is also the number of brownout's clients (workload/generator.py).
THREADS = 64
#: These time-outs (in seconds) are used when the process reads no results and the application sets no time-outs, so
#: that sending to a dead broker ends.
TIMEOUTS = {"socket_timeout": 5.0, "socket_connect_timeout": 5.0}
Say = Callable[..., None]


def prepare(app: Any, *, results: bool) -> None:
    """Import all tasks of the application, and take its result backend away unless `results` is true."""
    if not results:
        app.backend_cls = "disabled"
    import_modules.send(sender=app)
    app.loader.import_default_modules()
    app.finalize()
    if not results:
        app.conf.broker_transport_options = {**TIMEOUTS, **(app.conf.broker_transport_options or {})}


def send(app: Any, order: dict[str, Any], say: Say) -> None:
    """Send one task by its name, and answer "sent" or "failed"."""
    name, args, kwargs, options = order["task"], order["args"], order["kwargs"], order["options"]
    try:
        task: Any = app.tasks.get(name)
        if task is not None:  # before Celery 5.7, only Task.apply_async adds the task's own options
            own = {key: value for key, value in task._get_exec_options().items() if value is not None}
            options = {**own, **options}
        app.send_task(name, args, kwargs, **options)
    except Exception as error:
        say("failed", last=True, error=_text(error))
    else:
        say("sent", last=True)


def signature(app: Any, order: dict[str, Any]) -> Any:
    """Return the Celery signature to call: a task, or a canvas of several tasks."""
    canvas, effects = order["canvas"], order["effects"]
    args, kwargs = order["args"], order["kwargs"]

    def task_of(effect: str) -> Any:
        return app.tasks[order["task"]].si(*([effect] if args is None else args), **kwargs)

    if canvas == "chain":
        return chain(*[task_of(effect) for effect in effects])
    if canvas == "group":
        return group(*[task_of(effect) for effect in effects])
    if canvas == "chord":
        return chord([task_of(effect) for effect in effects[:-1]], app.tasks[order["body"]].s(effects[-1]))
    return task_of(effects[0])


def call(app: Any, order: dict[str, Any], say: Say) -> None:
    """Send a signature and answer "accepted" or "refused"; then, with a result, wait for "read" or "unread"."""
    try:
        result = signature(app, order).apply_async(**order["options"])
    except Exception as error:
        say("refused", last=True, error=_text(error))
        return
    ends = not order.get("result", True)
    say("accepted", last=ends, tasks=[part.id for part in getattr(result, "results", None) or [result]])
    if ends:
        return
    try:
        value = result.get(timeout=order["timeout"])
    except Exception as error:
        say("unread", last=True, error=_text(error))
    else:
        say("read", last=True, value=value)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def main(address: str, *words: str) -> None:
    """Carry out orders until brownout closes the socket; orders that still run are then given up."""
    from brownout.probes.hosted import app

    if isinstance(sys.stdout, io.TextIOWrapper):
        # Stdout is flushed after each line, so that no line is lost when the process is killed
        sys.stdout.reconfigure(line_buffering=True)
    control = socket.socket(socket.AF_UNIX)
    control.connect("\0" + address[1:] if address.startswith("@") else address)
    lock = threading.Lock()

    def say(number: int, event: str, **details: Any) -> None:
        answer = {"id": number, "event": event, "at": time.monotonic_ns(), **details}
        with lock:
            control.sendall(json.dumps(answer, default=str).encode() + b"\n")

    prepare(app, results="results" in words)
    say(0, "ready", layout=describe(app))
    pool = ThreadPoolExecutor(THREADS)
    for line in control.makefile("rb"):
        order = json.loads(line)

        def tell(event: str, _number: int = order["id"], **details: Any) -> None:
            say(_number, event, **details)

        pool.submit(call if "canvas" in order else send, app, order, tell)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
