"""`python -m brownout.subject.sender_process CELERY SOCKET`: sends tasks as any process of the application would.

The application is imported, so its routes, default queue, serializer, compression, transport options and its tasks'
own options hold. The process connects to the unix socket (`@name` is an abstract one) and reads orders, one line of
JSON each. It answers {"ready": 1} when the application is there, then {"id": n} for each order, with "error" when the
order failed. Many orders are carried out at once.
"""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celery.app.utils import find_app
from celery.signals import import_modules

#: As many as the harness has clients at once (workload/generator.py).
THREADS = 64
#: Where the application sets no others: an order on a dead edge comes back.
TIMEOUTS = {"socket_timeout": 5.0, "socket_connect_timeout": 5.0}
Say = Callable[..., None]


def application(name: str) -> Any:
    """Import the application, with all its tasks, and let it send without a result backend.

    Celery subscribes to a task's result before it sends the task; nobody reads results here, and no edge leads there.
    """
    app: Any = find_app(name)
    app.backend_cls = "disabled"
    import_modules.send(sender=app)
    app.loader.import_default_modules()
    app.conf.broker_transport_options = {**TIMEOUTS, **(app.conf.broker_transport_options or {})}
    return app


def send(app: Any, order: dict[str, Any]) -> None:
    """Send one task by its name. Raises whatever kombu raises."""
    name, args, kwargs, options = order["task"], order["args"], order["kwargs"], order["options"]
    if task := app.tasks.get(name):  # what Celery before 5.7 leaves to Task.apply_async
        own = {key: value for key, value in task._get_exec_options().items() if value is not None}
        options = {**own, **options}
    app.send_task(name, args, kwargs, **options)


def carry_out(app: Any, order: dict[str, Any], say: Say) -> None:
    """Send, and say how it went."""
    try:
        send(app, order)
    except Exception as error:
        say(id=order["id"], error=f"{type(error).__name__}: {error}"[:300])
    else:
        say(id=order["id"])


def main(name: str, address: str) -> None:
    """Serve orders until the harness closes the socket; what is under way is given up then."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the process may be killed
    control = socket.socket(socket.AF_UNIX)
    control.connect("\0" + address[1:] if address.startswith("@") else address)
    lock = threading.Lock()

    def say(**told: Any) -> None:
        with lock:
            control.sendall(json.dumps(told).encode() + b"\n")

    app = application(name)
    say(ready=1)
    pool = ThreadPoolExecutor(THREADS)
    for line in control.makefile("rb"):
        pool.submit(carry_out, app, json.loads(line), say)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
