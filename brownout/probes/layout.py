"""Asks a Celery application where its messages lie in Redis; history/layout.py reads the answer."""

from __future__ import annotations

from typing import Any

#: Field of the layout: the attribute of kombu's channel that holds it (kombu/transport/redis.py).
OPTIONS = {
    "prefix": "global_keyprefix",  # from kombu 5.2 on
    "separator": "sep",
    "unacked": "unacked_key",
    "unacked_index": "unacked_index_key",
    "unacked_mutex": "unacked_mutex_key",
}
STEPS = "priority_steps"


class Untold(Exception):
    """Nobody can tell where the application keeps its messages; the message says why."""


def describe(app: Any) -> dict[str, Any]:
    """The layout of a Celery application as JSON, for `Layout.of`; {"unreadable": reason} where it can't be told.

    Fields that the application's kombu does not know are left out. `Layout` has kombu's defaults for them.
    """
    try:
        return _read(app)
    except Untold as reason:
        return {"unreadable": str(reason)[:300]}
    except Exception as error:
        return {"unreadable": f"{type(error).__name__}: {error}"[:300]}


def _read(app: Any) -> dict[str, Any]:
    """kombu sets a channel's attributes from the transport options that `from_transport_options` names."""
    connection = app.connection_for_write()
    transport = connection.get_transport_cls()
    if transport.driver_type != "redis":
        raise Untold(f"its broker is {transport.driver_type}, not Redis")
    from kombu.transport.redis import Channel

    channel, given = transport.Channel, connection.transport_options or {}
    for method in ("_q_for_pri", "_put", "_brpop_start"):
        if getattr(channel, method) is not getattr(Channel, method):
            called = f"{transport.__module__}.{transport.__qualname__}"
            raise Untold(f"its transport {called} names its lists in its own way")

    taken = {name: given[name] for name in channel.from_transport_options if name in given}

    def known(name: str) -> bool:
        return name in taken or hasattr(channel, name)

    def option(name: str) -> Any:
        return taken[name] if name in taken else getattr(channel, name)

    return {
        **{field: str(option(name) or "") for field, name in OPTIONS.items() if known(name)},
        **({"steps": [int(step) for step in option(STEPS)]} if known(STEPS) else {}),
        "queues": [queue.name for queue in app.amqp.queues.consume_from.values() if not _fanout(queue)],
        "database": int(str(connection.virtual_host or "0").strip("/") or 0),
        **_backend(app),
    }


def _fanout(queue: Any) -> bool:
    """Whether a queue is a broadcast: those are published and never lie in a list."""
    return getattr(queue.exchange, "type", "") == "fanout"


def _backend(app: Any) -> dict[str, Any]:
    """What stands before a task's id, and the database. A backend that fails says nothing of where messages lie."""
    try:
        backend = app.backend
        found = backend.get_key_for_task("?")
        results = found.decode() if isinstance(found, bytes) else str(found)
        number = getattr(backend, "connparams", {}).get("db")
        return {"results": results[: -len("?")], "backend": None if number is None else int(number)}
    except Exception:
        return {}
