"""The one record that every witness writes and every checker reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brownout.probes.line import line

#: Who may say what. A trigger or a promise that names a kind outside this table is a misspelling.
KINDS: Mapping[str, tuple[str, ...]] = {
    "client": ("invoke", "ok", "fail", "info", "read", "unread", "left"),
    "worker": (
        *("ready", "received", "started", "ended", "failed", "retry", "rejected", "revoked", "unknown"),
        *("child-start", "child-exit", "shutting-down", "shutdown", "exit"),
    ),
    "api": ("ready", "stall", "starved", "paused", "raised", "shutdown", "exit"),
    "wire": (
        *("connected", "closed", "reset", "refused"),
        *("toxic-added", "toxic-removed", "toxic-acted", "point"),
    ),
    "broker": ("sample", "sample-failed", "exit"),
    "effects": ("effect",),
    "backend": ("stored",),
    "store": ("accepted", "withdrawn", "unreadable", "store-read"),
    "nemesis": ("fault-start", "fault-acted", "fault-stop"),
    "run": ("phase", "machine-late", "waited", "drained", "unread", "consumes", "settled", "note"),
}
ALL_KINDS = frozenset(kind for kinds in KINDS.values() for kind in kinds)
_FIELDS = frozenset({"at", "source", "kind", "key", "task", "pid", "data"})


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, as one witness saw it.

    `at` is in nanoseconds of `now()` (probes/line.py). `source` is who saw it ("client", "api", "worker-1", "wire",
    ...), `key` the operation's name as the client chose it before it sent anything, `task` the Celery task id, `data`
    what is special about this kind; it holds JSON values only.
    """

    at: int
    source: str
    kind: str
    key: str | None = None
    task: str | None = None
    pid: int = 0
    data: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def to_json(self) -> str:
        """One line of NDJSON without its newline; it always begins with `{"at":`, which marks torn lines."""
        return line(self.at, self.source, self.kind, self.key, self.task, self.pid, self.data)

    @classmethod
    def from_json(cls, line: str | bytes) -> Event:
        """Read one line; raise ValueError when it is none.

        A line with neither source nor kind is a row of an effects ledger that some application wrote by itself.
        """
        record = json.loads(line)
        if not isinstance(record, dict) or not isinstance(record.get("at"), int):
            raise ValueError(f"not an event: {line!r:.80}")
        if "kind" not in record:
            record = {"source": "effects", "kind": "effect"} | record
        if "source" not in record:
            raise ValueError(f"nobody saw it: {line!r:.80}")
        strange = {name: value for name, value in record.items() if name not in _FIELDS}
        return cls(
            at=record["at"],
            source=str(record["source"]),
            kind=str(record["kind"]),
            key=record.get("key"),
            task=record.get("task"),
            pid=record.get("pid", 0),
            data=record.get("data", {}) | strange,
        )
