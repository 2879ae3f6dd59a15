"""`python -m brownout.subject.surface CELERY [API]`: an application's tasks, routes and keys, as one line of JSON."""

from __future__ import annotations

import json
import sys

from celery.app.utils import find_app
from celery.signals import import_modules

from brownout.history.layout import describe


def main(celery: str, api: str) -> None:
    """Print the names of the tasks that a worker would know, the paths that the API serves, and the layout."""
    tasks: list[str] = []
    layout: dict[str, object] = {}
    if celery:
        app = find_app(celery)
        import_modules.send(sender=app)
        app.loader.import_default_modules()
        tasks = sorted(name for name in app.tasks if not name.startswith("celery."))
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
