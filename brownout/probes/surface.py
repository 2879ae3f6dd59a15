"""`python -m brownout.probes.surface CELERY [API]`: an application's tasks, routes, keys and times, as a line of JSON.

`BROWNOUT_CELERY` and `BROWNOUT_CONF` are as for hosted.py.
"""

from __future__ import annotations

import inspect
import json
import sys
from typing import Callable

from celery.signals import import_modules

from brownout.probes.layout import describe

#: Settings from which it follows how long to wait for what.
CONF = (
    *("broker_transport_options", "redis_socket_timeout", "redis_socket_connect_timeout"),
    *("result_backend_transport_options", "redis_backend_health_check_interval", "broker_connection_timeout"),
)


def parameters(run: Callable[..., object]) -> list[str] | None:
    """The names of a task's parameters; None when it takes any, or nobody can tell."""
    try:
        found = inspect.signature(run).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(each.kind is each.VAR_KEYWORD for each in found):
        return None
    return [each.name for each in found if each.kind is not each.VAR_POSITIONAL]


def main(celery: str, api: str) -> None:
    """Print a worker's tasks, each with its parameters, the paths that the API serves, and the layout."""
    tasks: dict[str, list[str] | None] = {}
    layout: dict[str, object] = {}
    conf: dict[str, object] = {}
    if celery:
        from brownout.probes.hosted import app

        import_modules.send(sender=app)
        app.loader.import_default_modules()
        tasks = {name: parameters(task.run) for name, task in sorted(app.tasks.items()) if name[:7] != "celery."}
        layout = describe(app)
        conf = {name: app.conf.get(name) for name in CONF}
    routes: list[str] = []
    if api:
        from brownout.probes.api_tap import load

        served = load(api)
        # FastAPI nests included routers, so its own description is asked; any other ASGI application has its routes.
        paths = served.openapi()["paths"] if hasattr(served, "openapi") else ()
        routes = sorted({*paths, *(each.path for each in getattr(served, "routes", ()) if hasattr(each, "path"))})
    print(json.dumps({"tasks": tasks, "routes": routes, "layout": layout, "conf": conf}, default=str))  # noqa: T201 - its answer


if __name__ == "__main__":
    main(*sys.argv[1:])
