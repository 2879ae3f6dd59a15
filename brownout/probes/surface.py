"""`python -m brownout.probes.surface CELERY [API]` prints the description of an application as JSON: its tasks, its
routes, the names of its keys in Redis, and its time-outs.

`BROWNOUT_CELERY` and `BROWNOUT_CONF` have the same meaning as in hosted.py. {"unusable": reason} is the answer for an
application that no trial can use.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Callable

import celery as library
from celery.signals import import_modules

from brownout.probes.layout import describe

OLDEST = (5, 1)  # of Celery
PACKAGES = ("celery", "kombu", "redis", "hiredis", "billiard", "fastapi", "uvicorn", "uvloop")
#: The settings that decide how long the application may take to recover.
CONF = (
    *("broker_transport_options", "redis_socket_timeout", "redis_socket_connect_timeout"),
    *("result_backend_transport_options", "redis_backend_health_check_interval", "broker_connection_timeout"),
)


class Unusable(Exception):
    """No trial can use the application; the message is one line that says why."""


def parameters(run: Callable[..., object]) -> list[str] | None:
    """Return the names of a task's parameters, or None when the task takes any keyword or its parameters are
    unknown."""
    try:
        signature_parameters = inspect.signature(run).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature_parameters):
        return None
    return [parameter.name for parameter in signature_parameters if parameter.kind is not parameter.VAR_POSITIONAL]


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that this process really uses."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def application(name: str) -> Any:
    """The Celery application of this name, with all of its tasks. Raises Unusable, and the exceptions of the
    application's import."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", library.__version__)[:2])
    if numbers < OLDEST:
        raise Unusable(f"Celery {library.__version__} is too old: brownout needs Celery 5.1 or newer")

    def hosted() -> Any:
        from brownout.probes.hosted import app

        return app

    return loaded(name, hosted)


def loaded(name: str, load: Callable[[], Any]) -> Any:
    """The Celery application that `load` returns for a name, with all of its tasks. Raises Unusable when the name
    leads to something else, and the exceptions of the application's import."""
    try:
        app = load()
    except (AttributeError, ModuleNotFoundError):
        there = others(name)
        if not there:
            raise
        raise Unusable(f"{name} is no Celery application; there is {' and '.join(there)}") from None
    if not isinstance(app, library.Celery):
        there = others(name) or ["none in this module"]
        raise Unusable(
            f"{name} is no Celery application, but of type {type(app).__name__}; there is {' and '.join(there)}"
        )
    import_modules.send(sender=app)
    app.loader.import_default_modules()
    return app


def others(name: str) -> list[str]:
    """Return the Celery applications in the module whose name is the first part of `name`."""
    parts = name.partition(":")[0].split(".")
    for end in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            module = importlib.import_module(".".join(parts[:end]))
            found = [key for key, value in vars(module).items() if isinstance(value, library.Celery)]
            return [f"{module.__name__}:{key}" for key in found]
    return []


def wiring(app: Any) -> dict[str, object]:
    """Return the addresses to which the application connects with this environment, without passwords, and the schemes
    of the URLs in its own settings."""

    def own(setting: str) -> str | None:
        """Return the scheme of a URL in the application's own settings. Celery's own environment variables override the
        application's settings."""
        value = app.conf.first(setting)
        return None if value is None else re.split("[:;]", str(value))[0]

    return {
        "own_broker": own("broker_url"),
        "own_backend": own("result_backend"),
        "read": app.connection_for_read().as_uri(),
        "write": app.connection_for_write().as_uri(),
    }


def main(name: str, api: str) -> None:
    """Print the application's tasks with their parameters, its API's paths, Redis keys, connections, settings and
    versions."""
    tasks: dict[str, list[str] | None] = {}
    found: dict[str, object] = {"layout": {}, "conf": {}, "wiring": {}, "ignores": []}
    if name:
        try:
            app = application(name)
        except Unusable as reason:
            print(json.dumps({"unusable": str(reason)}))  # noqa: T201 - its answer
            return
        tasks = {key: parameters(task.run) for key, task in sorted(app.tasks.items()) if key[:7] != "celery."}
        found = {
            "layout": describe(app),
            "conf": {key: app.conf.get(key) for key in CONF},
            "wiring": wiring(app),
            "ignores": [key for key in tasks if app.tasks[key].ignore_result],
        }
    routes: list[str] = []
    if api:
        from brownout.probes.api_tap import load

        served: Any = load(api)
        # FastAPI nests included routers, so the paths come from its OpenAPI description and from `routes`.
        paths = served.openapi()["paths"] if hasattr(served, "openapi") else ()
        routes = sorted({*paths, *(route.path for route in getattr(served, "routes", ()) if hasattr(route, "path"))})
    answer = {"tasks": tasks, "routes": routes, "versions": versions(), **found}
    print(json.dumps(answer, default=str))  # noqa: T201 - its answer


if __name__ == "__main__":
    main(*sys.argv[1:])
