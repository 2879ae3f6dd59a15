"""The event: the record that every source writes and every checker reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brownout.probes.line import line

#: Maps each source of events to the kinds of events that it records. It is an error if a trigger or a promise names
#: another kind of event.
KINDS: Mapping[str, tuple[str, ...]] = {
    "client": ("invoke", "ok", "fail", "info", "read", "unread", "left"),
    "worker": (
        *("ready", "received", "started", "ended", "failed", "retry", "rejected", "revoked", "unknown"),
        *("publish", "published"),
        *("child-start", "child-exit", "shutting-down", "shutdown", "exit"),
    ),
    "api": ("ready", "stall", "starved", "paused", "raised", "publish", "published", "shutdown", "exit"),
    "relay": ("publish", "published", "exit"),
    "wire": (
        *("connected", "closed", "reset", "refused"),
        *("toxic-added", "toxic-removed", "toxic-acted", "point"),
    ),
    "broker": ("sample", "sample-failed", "exit"),
    "effects": ("effect",),
    "backend": ("stored",),
    "store": ("accepted", "withdrawn", "unreadable", "store-read", "row"),
    "nemesis": ("fault-start", "fault-acted", "fault-stop"),
    "run": ("phase", "machine-late", "waited", "drained", "unread", "consumes", "settled", "note", "resources"),
}
ALL_KINDS = frozenset(kind for kinds in KINDS.values() for kind in kinds)
#: The kinds of events that only reports read. The events of kinds that only reports read are no part of an operation.
# No verdict depends : on events of these kinds, with one exception: in a fault map, a `publish` with a request's key
# tells which task : belongs to the request (`Life`).
FOR_REPORTS = frozenset({"publish", "published", "row"})
_FIELDS = frozenset({"at", "source", "kind", "key", "task", "pid", "data"})


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened during a trial, as one source (a client, a worker, ...) recorded it.

    `at` is in nanoseconds of `now()` (probes/line.py). `source` is what recorded the event ("client", "api",
    "worker-1", "wire", ...), `key` the name that the client gave to the operation before it sent anything, `task` the
    Celery task's id. `data` has further JSON values, which depend on the kind of the event.
    """

    at: int
    source: str
    kind: str
    key: str | None = None
    task: str | None = None
    pid: int = 0
    data: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def to_json(self) -> str:
        """Return a line of NDJSON without newline. Every line begins with `{"at":`, so that a reader recognises a line
        that was cut off."""
        return line(self.at, self.source, self.kind, self.key, self.task, self.pid, self.data)

    @classmethod
    def from_json(cls, line: str | bytes) -> Event:
        """Read an event from one line of NDJSON. Raises ValueError when the line is not an event.

        A line that has neither a source nor a kind is an effect that the application wrote to its own file of effects
        (ledger).
        """
        record = json.loads(line)
        if not isinstance(record, dict) or not isinstance(record.get("at"), int):
            raise ValueError(f"not an event: {line!r:.80}")
        if "kind" not in record:
            record = {"source": "effects", "kind": "effect"} | record
        if "source" not in record:
            raise ValueError(f"an event needs a `source`: {line!r:.80}")
        further = {name: value for name, value in record.items() if name not in _FIELDS}
        return cls(
            at=record["at"],
            source=str(record["source"]),
            kind=str(record["kind"]),
            key=record.get("key"),
            task=record.get("task"),
            pid=record.get("pid", 0),
            data=record.get("data", {}) | further,
        )
