"""`python -m brownout.subject.surface CELERY [API]`: an application's tasks, routes and keys, as one line of JSON."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable

from celery.app.utils import find_app
from celery.signals import import_modules

from brownout.history.layout import describe


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
    if celery:
        app = find_app(celery)
        import_modules.send(sender=app)
        app.loader.import_default_modules()
        tasks = {name: parameters(task.run) for name, task in sorted(app.tasks.items()) if name[:7] != "celery."}
        layout = describe(app)
    routes: list[str] = []
    if api:
        from brownout.history.api_tap import load

        served = load(api)
        # FastAPI nests included routers, so its own description is asked; any other ASGI application has its routes.
        paths = served.openapi()["paths"] if hasattr(served, "openapi") else ()
        routes = sorted({*paths, *(each.path for each in getattr(served, "routes", ()) if hasattr(each, "path"))})
    print(json.dumps({"tasks": tasks, "routes": routes, "layout": layout}))  # noqa: T201 - its answer


if __name__ == "__main__":
    main(*sys.argv[1:])
