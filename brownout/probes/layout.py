"""Finds out where a Celery application's messages lie in Redis. history/layout.py reads the layout that this module
writes."""

from __future__ import annotations

from typing import Any

#: Fields of the layout, and the attributes of kombu's channel that hold their values (kombu/transport/redis.py).
OPTIONS = {
    "prefix": "global_keyprefix",  # kombu has this attribute from version 5.2 on
    "separator": "sep",
    "unacked": "unacked_key",
    "unacked_index": "unacked_index_key",
    "unacked_mutex": "unacked_mutex_key",
}
STEPS = "priority_steps"


class UnknownLayout(Exception):
    """The Redis keys of the application's messages cannot be found out; the exception's text has the reason."""


def describe(app: Any) -> dict[str, Any]:
    """The layout of a Celery application as JSON, for `Layout.of`; {"unreadable": reason} when it is unknown.

    Fields that the application's kombu does not have are left out; `Layout` then uses kombu's defaults.
    """
    try:
        return _read(app)
    except UnknownLayout as reason:
        return {"unreadable": str(reason)[:300]}
    except Exception as error:
        return {"unreadable": f"{type(error).__name__}: {error}"[:300]}


def _read(app: Any) -> dict[str, Any]:
    """Return the layout from the attributes of kombu's channel. Transport options that kombu lists in
    `from_transport_options` replace the channel's attributes."""
    connection = app.connection_for_write()
    transport = connection.get_transport_cls()
    if transport.driver_type != "redis":
        raise UnknownLayout(f"the application's broker is {transport.driver_type}, not Redis")
    from kombu.transport.redis import Channel

    channel, options = transport.Channel, connection.transport_options or {}
    for method in ("_q_for_pri", "_put", "_brpop_start"):
        if getattr(channel, method) is not getattr(Channel, method):
            full_name = f"{transport.__module__}.{transport.__qualname__}"
            raise UnknownLayout(f"the application's transport {full_name} names its lists in its own way")

    chosen = {name: options[name] for name in channel.from_transport_options if name in options}

    def known(name: str) -> bool:
        return name in chosen or hasattr(channel, name)

    def option(name: str) -> Any:
        return chosen[name] if name in chosen else getattr(channel, name)

    return {
        **{field: str(option(name) or "") for field, name in OPTIONS.items() if known(name)},
        **({"steps": [int(step) for step in option(STEPS)]} if known(STEPS) else {}),
        "queues": [queue.name for queue in app.amqp.queues.consume_from.values() if not _fanout(queue)],
        "database": int(str(connection.virtual_host or "0").strip("/") or 0),
        **_backend(app),
    }


def _fanout(queue: Any) -> bool:
    """Whether a queue is a broadcast queue, whose messages are published and never lie in a list."""
    return getattr(queue.exchange, "type", "") == "fanout"


def _backend(app: Any) -> dict[str, Any]:
    """Return the prefix of result keys and the number of the result database; {} when the result backend cannot be
    loaded."""
    try:
        backend = app.backend
        key = backend.get_key_for_task("?")
        results = key.decode() if isinstance(key, bytes) else str(key)
        number = getattr(backend, "connparams", {}).get("db")
        return {"results": results[: -len("?")], "backend": None if number is None else int(number)}
    except Exception:
        return {}
