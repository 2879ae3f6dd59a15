"""Records Celery's signals as events, in a worker that is started with the option `-I brownout.probes.celery_tap`.

The worker's command line imports this module, so the application need not be changed. Without BROWNOUT_HISTORY (the
file to append to) the module connects no signal. BROWNOUT_SOURCE names the worker, "worker-1" by default. Celery's
signals fire also without the worker's option `-E`, which turns on Celery's own event stream.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Callable

from celery import signals

from brownout.probes import publish_tap
from brownout.probes.configuration import effective
from brownout.probes.layout import describe
from brownout.probes.recorder import Recorder

KEY_HEADER = "idempotency_key"


def _request(request: Any) -> dict[str, Any]:
    """Return the part of an event's data that identifies a task. `request` is a worker's Request, or the Context that a
    task's body sees."""
    context = getattr(request, "_context", request)
    headers = getattr(context, "headers", None) or {}
    info = getattr(request, "delivery_info", None) or {}
    return {
        "task": getattr(request, "id", None),
        "key": headers.get(KEY_HEADER) or getattr(context, KEY_HEADER, None),
        "retries": getattr(context, "retries", 0) or 0,
        "redelivered": bool(info.get("redelivered")),
    }


def _received(request: Any = None, **_: Any) -> dict[str, Any]:
    return {**_request(request), "name": request.name, "eta": request.eta}


def _started(task: Any = None, **_: Any) -> dict[str, Any]:
    return {**_request(task.request), "name": task.name}


def _ended(task: Any = None, state: Any = None, **_: Any) -> dict[str, Any]:
    return {**_request(task.request), "name": task.name, "state": state}


def _failed(sender: Any = None, task_id: Any = None, exception: Any = None, **_: Any) -> dict[str, Any]:
    # When a pool process died or took too long, the worker's main process sends this signal, and no signal for the
    # task's end follows.
    return {"task": task_id, "name": sender.name, "error": type(exception).__name__}


def _retry(request: Any = None, reason: Any = None, **_: Any) -> dict[str, Any]:
    when = getattr(reason, "when", None)
    number = isinstance(when, (int, float))
    return {**_request(request), "countdown": when if number else None, "eta": None if number else when}


def _revoked(request: Any = None, terminated: Any = None, expired: Any = None, **_: Any) -> dict[str, Any]:
    return {**_request(request), "terminated": bool(terminated), "expired": bool(expired)}


def _rejected(message: Any = None, **_: Any) -> dict[str, Any]:
    headers = getattr(message, "headers", None) or {}
    return {"task": headers.get("id"), "name": headers.get("task")}


def _unknown(name: Any = None, id: Any = None, **_: Any) -> dict[str, Any]:
    return {"task": id, "name": name}


def _ready(sender: Any = None, **_: Any) -> dict[str, Any]:
    # The consumer object has the queues that the worker really reads, whatever command line and configuration say.
    return {"layout": describe(sender.app), "conf": effective(sender.app)}


def _nothing(**_: Any) -> dict[str, Any]:
    return {}


_TAPS: tuple[tuple[Any, str, Callable[..., dict[str, Any]]], ...] = (
    (signals.worker_ready, "ready", _ready),
    (signals.task_received, "received", _received),
    (signals.task_prerun, "started", _started),
    (signals.task_postrun, "ended", _ended),
    (signals.task_failure, "failed", _failed),
    (signals.task_retry, "retry", _retry),
    (signals.task_rejected, "rejected", _rejected),
    (signals.task_revoked, "revoked", _revoked),
    (signals.task_unknown, "unknown", _unknown),
    (signals.worker_process_init, "child-start", _nothing),
    (signals.worker_process_shutdown, "child-exit", lambda exitcode=None, **_: {"code": exitcode}),
    (signals.worker_shutting_down, "shutting-down", lambda sig=None, how=None, **_: {"signal": sig, "how": how}),
    (signals.worker_shutdown, "shutdown", _nothing),
)


def connect(recorder: Recorder) -> None:
    """Record Celery's signals (celery.signals) in this process and in the processes that it forks."""

    def connected(kind: str, details_of: Callable[..., dict[str, Any]]) -> Callable[..., None]:
        def tell(**details: Any) -> None:
            with contextlib.suppress(Exception):
                recorder.record(kind, **details_of(**details))

        return tell

    for signal, kind, details_of in _TAPS:
        signal.connect(connected(kind, details_of), weak=False)
    publish_tap.connect(recorder)


if os.environ.get("BROWNOUT_HISTORY"):
    connect(Recorder(os.environ["BROWNOUT_HISTORY"], os.environ.get("BROWNOUT_SOURCE", "worker-1")))
