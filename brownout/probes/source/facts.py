"""`python -m brownout.probes.source.facts CELERY API` prints the facts that the rules of `brownout lint` look at, as
JSON.

The application is imported with the environment of this process, and no connection is opened. No URL and no value of a
setting that could be a secret is printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import sys
import weakref
from typing import Any, Iterator

from brownout.probes.source.calls import calls, refuses
from brownout.probes.source.functions import code_of, own, plain

#: Signals with which an application adds code of its own to a worker's start: such code may be a watchdog.
SIGNALS = ("celeryd_init", "worker_init", "worker_ready", "celeryd_after_setup", "heartbeat_sent")
LOCAL = {"localhost", "::1", ""}


def of_celery(name: str) -> dict[str, Any]:
    """Return the broker, the settings and the tasks of a Celery application."""
    from celery.app.utils import find_app

    from brownout.probes.surface import loaded

    app: Any = loaded(name, lambda: find_app(name))
    app.finalize()
    connection = app.connection_for_write()
    kind = connection.transport.driver_type
    conf = app.conf
    facts = {
        "transport": kind,
        "channel_error_retry": bool(conf.get("broker_channel_error_retry", False)),
        "prefetch": conf.worker_prefetch_multiplier,
        "watched": _watched(app),
        "one_database": _one_database(app, connection),
        "backend": _backend(app),
        "beat": [_entry(entry) for entry in (conf.beat_schedule or {}).values()],
        "tasks": [_task(task) for key, task in sorted(app.tasks.items()) if not key.startswith("celery.")],
    }
    return {**facts, **(_redis(connection) if kind == "redis" else {})}


def _redis(connection: Any) -> dict[str, Any]:
    """Return options of kombu's Redis transport; an option that is not set has the value of the class of kombu's
    channel."""
    channel, options = connection.get_transport_cls().Channel, connection.transport_options or {}

    def option(name: str) -> Any:
        return options.get(name, getattr(channel, name, None))

    return {
        "visibility": float(option("visibility_timeout")),
        "socket_timeout": option("socket_timeout"),
        "retry_on_timeout": bool(option("retry_on_timeout")),
    }


def _task(task: Any) -> dict[str, Any]:
    run = plain(task.run)  # the task's `run` is then a function that `autoretry_for` has wrapped
    found = calls(run, thread=True)
    return {
        "name": task.name,
        "acks_late": bool(task.acks_late),
        "requeues": bool(task.reject_on_worker_lost),
        "ignore_result": bool(task.ignore_result),
        "time_limit": task.time_limit or task.app.conf.task_time_limit,
        "retry_delay": max(_retry_delays(task, found), default=None),
        "bounded": refuses(run) or task.expires is not None,
        "needs": _needs(task.run),
        "calls": found,
    }


def _needs(run: Any) -> list[str]:
    """Return the parameters that a call of the task must give by position."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(run).parameters.values()
    except (TypeError, ValueError):
        return []
    return [one.name for one in parameters if one.kind in positional and one.default is one.empty]


def _retry_delays(task: Any, found: list[dict[str, Any]]) -> Iterator[float]:
    """Return the longest countdown of each way in which a task asks for a retry (celery.app.autoretry, Task.retry)."""
    if getattr(task, "autoretry_for", None):
        given = getattr(task, "retry_kwargs", None) or {}
        backoff, retries = getattr(task, "retry_backoff", False), given.get("max_retries", task.max_retries)
        if backoff:
            longest = float(getattr(task, "retry_backoff_max", 600))
            last = longest if retries is None else int(max(1.0, backoff)) * 2.0 ** min(max(0, retries - 1), 64)
            yield min(longest, last)
        else:
            yield float(given.get("countdown", task.default_retry_delay))
    for call in found:
        if call["kind"] == "retry" and (call["by_default"] or call["countdown"] is not None):
            yield float(task.default_retry_delay if call["by_default"] else call["countdown"])


def _entry(entry: Any) -> dict[str, Any]:
    options = entry.get("options") or {}
    countdown = options.get("countdown")
    expires = options.get("expires") is not None
    number = countdown if isinstance(countdown, (int, float)) else None
    return {"task": entry.get("task"), "countdown": number, "expires": expires}


def _watched(app: Any) -> bool:
    """Whether the application adds steps or signal receivers of its own to a worker, which may be a watchdog."""
    from celery import signals

    if any(app.steps.get(part) for part in ("worker", "consumer")):
        return True
    for name in SIGNALS:
        for receiver in getattr(signals, name).receivers or ():
            found = receiver[1]
            if own(plain(found() if isinstance(found, weakref.ref) else found)):
                return True
    return False


def _backend(app: Any) -> str:
    """Return "redis" for a backend that subscribes to a result before the task is sent, else "other"; "" for none."""
    try:
        backend = app.backend
    except Exception:
        return ""
    from celery.backends.base import DisabledBackend

    if isinstance(backend, DisabledBackend):
        return ""
    return "redis" if any(kind.__name__ == "RedisBackend" for kind in type(backend).__mro__) else "other"


def _one_database(app: Any, connection: Any) -> bool | None:
    """Whether messages and results are in the same database of one server, or None when this cannot be found out."""
    try:
        results = app.backend.connparams
        there = _address(results["host"], results["port"], results["db"])
        here = _address(connection.hostname, connection.port or 6379, connection.virtual_host)
    except Exception:
        return None
    return here == there


def _address(host: Any, port: Any, database: Any) -> tuple[str, int, int]:
    name = str(host or "").lower()
    return "127.0.0.1" if name in LOCAL else name, int(port), int(str(database or "0").strip("/") or 0)


def of_api(name: str) -> dict[str, Any]:
    """Return the routes of an ASGI application, what their functions do with tasks, and the application's OpenAPI
    document."""
    from brownout.probes.api_tap import load

    served: Any = load(name)
    document = {}
    if hasattr(served, "openapi"):
        with contextlib.suppress(Exception):
            document = served.openapi()
    return {"routes": [_route(path, route) for path, route in _routes(served, "")], "openapi": document}


def _routes(router: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for route in getattr(router, "routes", ()):
        inner = getattr(route, "original_router", None)  # FastAPI nests the routes of included routers since 0.13x
        context = getattr(route, "include_context", None)
        path = prefix + (getattr(context, "prefix", None) or getattr(route, "path", None) or "")
        if inner is not None or hasattr(route, "routes"):
            yield from _routes(inner if inner is not None else route, path)
        elif hasattr(route, "endpoint"):
            yield path, route


def _route(path: str, route: Any) -> dict[str, Any]:
    functions = [route.endpoint, *_dependencies(getattr(route, "dependant", None))]
    methods = sorted({*(getattr(route, "methods", None) or ())} - {"HEAD"})
    found: list[dict[str, Any]] = []
    for function in functions:
        found += calls(function, thread=not asyncio.iscoroutinefunction(plain(function)))
    code = code_of(plain(route.endpoint))
    keys = code.keys() if code is not None and own(code.function) else []
    return {"route": " ".join(filter(None, [",".join(methods), path])), "calls": found, "keys": keys}


def _dependencies(dependant: Any) -> Iterator[Any]:
    for inner in getattr(dependant, "dependencies", ()):
        if getattr(inner, "call", None) is not None:
            yield inner.call
        yield from _dependencies(inner)


def main(celery: str, api: str) -> None:
    """Print the facts, or {"unusable": reason} when the name does not lead to a Celery application."""
    from brownout.probes.surface import Unusable

    try:
        facts = {"celery": of_celery(celery) if celery else None, **(of_api(api) if api else {"routes": []})}
    except Unusable as reason:
        facts = {"unusable": str(reason)}
    print(json.dumps(facts, default=str))  # noqa: T201 - its answer


if __name__ == "__main__":
    main(*sys.argv[1:])
