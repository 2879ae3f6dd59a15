"""Records which process publishes a task's message: an event `publish` before the message is sent to the broker, and an
event `published` afterwards.

An event `publish` without an event `published` of the same process is an attempt that failed, or that still waits for
the broker. `python -m brownout.probes.publish_tap MODULE ARGS` runs a module as `python -m` does and records what the
module publishes; it is meant for a process of the application that is neither a worker nor the API. Without
BROWNOUT_HISTORY (a file) nothing is recorded.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
from contextvars import ContextVar
from typing import Any, Callable

from brownout.probes.recorder import Recorder

#: The key of the operation whose request the API is answering now; the API's tap sets this variable. The key tells to
#: which operation a published task belongs.
KEY: ContextVar[str | None] = ContextVar("brownout_key", default=None)


def connect(recorder: Recorder) -> None:
    """Record what this process publishes with Celery. Raises ImportError when Celery is not installed."""
    from celery import signals

    for signal, kind in ((signals.before_task_publish, "publish"), (signals.after_task_publish, "published")):
        signal.connect(_recording(recorder, kind), weak=False, dispatch_uid=f"brownout-{kind}")


def _recording(recorder: Recorder, kind: str) -> Callable[..., None]:
    def record(headers: Any = None, body: Any = None, routing_key: Any = None, **_: Any) -> None:
        with contextlib.suppress(Exception):
            # Task protocol 1 has the id and the name in the body.
            about = headers if headers and "id" in headers else body
            recorder.record(kind, key=KEY.get(), task=about["id"], name=about["task"], to=str(routing_key or ""))

    return record


def main() -> None:
    """Run the module; this process ends with the module's exceptions and exit code."""
    if os.environ.get("BROWNOUT_HISTORY"):
        with contextlib.suppress(Exception):
            connect(Recorder(os.environ["BROWNOUT_HISTORY"], os.environ["BROWNOUT_SOURCE"]))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
