"""Watches any ASGI application, which is served by the command `uvicorn brownout.probes.api_tap:app`.

The variable BROWNOUT_APP names the application as "module:attribute" or "module:factory()". HTTP requests and answers
pass through this wrapper unchanged. With BROWNOUT_HISTORY (a file) the tap (this module) records when the application
is ready, which code blocks the event loop, which exceptions leave the application or its background tasks, and which
tasks the application publishes, if it has imported Celery. The variable BROWNOUT_SOURCE names the process in events,
"api" by default.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import Any, Awaitable, Callable, MutableMapping

from brownout.probes import publish_tap
from brownout.probes.configuration import effective
from brownout.probes.loop_watch import LoopWatch
from brownout.probes.recorder import Recorder

KEY_HEADER = b"idempotency-key"  # this header names the operation, see workload/client.py
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]


def load(name: str) -> Asgi:
    """Return the ASGI application that "module:attribute" or "module:factory()" names."""
    module, _, path = name.partition(":")
    target: Any = importlib.import_module(module)
    is_factory = path.endswith("()")
    for attribute in ((path[:-2] if is_factory else path) or "app").split("."):
        target = getattr(target, attribute)
    app: Asgi = target() if is_factory else target
    return app


def tap(app: Asgi, recorder: Recorder) -> Asgi:
    """Return an ASGI application that behaves as `application`. The event loop and the errors of the application are
    watched from the lifespan event "startup" on."""

    async def lifespan(scope: Message, receive: Receive, send: Send) -> None:
        watch = None
        with contextlib.suppress(Exception):
            watch = LoopWatch(recorder)
            watch.start()

        async def send_and_record(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                recorder.record("ready", watch=watch is not None, conf=effective())
            await send(message)

        try:
            await app(scope, receive, send_and_record)
        finally:
            if watch:
                with contextlib.suppress(Exception):
                    watch.stop()
            recorder.record("shutdown")

    async def tapped(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await lifespan(scope, receive, send)
        with contextlib.suppress(Exception):
            publish_tap.KEY.set(next((value.decode() for name, value in scope["headers"] if name == KEY_HEADER), None))
        try:
            await app(scope, receive, send)
        except Exception as error:
            recorder.record("raised", path=scope.get("path"), error=f"{type(error).__name__}: {error}"[:500])
            raise
        return None

    return tapped


def __getattr__(name: str) -> Asgi:
    # `app` is created when a server asks for this name, so that importing the module needs no environment variable.
    if name != "app":
        raise AttributeError(name)
    if "BROWNOUT_APP" not in os.environ:
        raise RuntimeError('BROWNOUT_APP is not set: it names the application, as "module:attribute"')
    inner = load(os.environ["BROWNOUT_APP"])
    path = os.environ.get("BROWNOUT_HISTORY")
    if not path:
        return inner
    recorder = Recorder(path, os.environ.get("BROWNOUT_SOURCE", "api"))
    if "celery" in sys.modules:
        with contextlib.suppress(Exception):
            publish_tap.connect(recorder)
    return tap(inner, recorder)
