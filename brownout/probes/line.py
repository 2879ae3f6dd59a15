"""An event as one line of NDJSON, and the clock that all recorders of events share."""

from __future__ import annotations

import json
import time
from typing import Any, Mapping


def now() -> int:
    """Nanoseconds of CLOCK_MONOTONIC, which on Linux is the same clock for all processes of a host."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def line(at: int, source: str, kind: str, key: str | None, task: str | None, pid: int, data: Mapping[str, Any]) -> str:
    """One event as a line of JSON without a newline; the fields are those of `history/event.py`.

    Every line begins with `{"at":`, so that a reader finds the next event after a line that was cut off.
    """
    record: dict[str, Any] = {"at": at, "source": source, "kind": kind}
    if key is not None:
        record["key"] = key
    if task is not None:
        record["task"] = task
    if pid:
        record["pid"] = pid
    if data:
        record["data"] = dict(data)
    return json.dumps(record, separators=(",", ":"), default=str)
