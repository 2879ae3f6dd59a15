"""`python -m brownout.probes.surface CELERY [API]` prints an application's tasks, routes, keys and times as JSON.

`BROWNOUT_CELERY` and `BROWNOUT_CONF` have the same meaning as in hosted.py.
"""

from __future__ import annotations

import inspect
import json
import sys
from typing import Callable

from celery.signals import import_modules

from brownout.probes.layout import describe

#: The settings that decide how long the application may take to recover.
CONF = (
    *("broker_transport_options", "redis_socket_timeout", "redis_socket_connect_timeout"),
    *("result_backend_transport_options", "redis_backend_health_check_interval", "broker_connection_timeout"),
)


def parameters(run: Callable[..., object]) -> list[str] | None:
    """Return the names of a task's parameters; None when the task takes any keyword or its parameters are unknown."""
    try:
        signature_parameters = inspect.signature(run).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature_parameters):
        return None
    return [parameter.name for parameter in signature_parameters if parameter.kind is not parameter.VAR_POSITIONAL]


def main(celery: str, api: str) -> None:
    """Print the worker's tasks with their parameters, the API's paths, the layout, and the settings in CONF."""
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
        # FastAPI nests included routers, so the paths come from its OpenAPI description and from `routes`.
        paths = served.openapi()["paths"] if hasattr(served, "openapi") else ()
        routes = sorted({*paths, *(route.path for route in getattr(served, "routes", ()) if hasattr(route, "path"))})
    print(json.dumps({"tasks": tasks, "routes": routes, "layout": layout, "conf": conf}, default=str))  # noqa: T201 - its answer


if __name__ == "__main__":
    main(*sys.argv[1:])
