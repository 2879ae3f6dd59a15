"""Finds out, from the events of a growing history, which accepted operations are finished (settled)."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from brownout.history.event import Event
from brownout.history.operation import RANK, SAFE, state_of

FINAL = 2


class Settled:
    """Keeps track of the operations that were accepted, and of those that are finished. If `by_effect` is true, an
    operation counts as finished only after an effect or a final failure.

    One thread reports events while others ask. A long trial has many operations, so what is unfinished is kept and not
    found anew for each answer.
    """

    def __init__(self, *, by_effect: bool) -> None:
        self._by_effect = by_effect
        self._lock = Lock()
        self._accepted: dict[str, str] = {}  # Maps each task to its key.
        self._tasks: dict[str, list[str]] = {}  # Maps each key to its accepted tasks.
        self._open: dict[str, str] = {}  # Those of `_accepted` that are not finished.
        self._nameless: dict[str, None] = {}  # Keys of unfinished operations that were accepted without a task id.
        self._done: set[str] = set()  # The tasks and keys of operations that are finished.
        self._running: dict[str, str] = {}  # Maps each running task to the process that runs it.

    def see(self, events: Iterable[Event]) -> None:
        """Take new events of the history into account."""
        with self._lock:
            for event in events:
                self._see(event)

    def _see(self, event: Event) -> None:
        task, key = event.task, event.key
        if event.kind in ("ok", "accepted") and task and key:
            self._accept(task, key)
        elif key and key not in self._done and (event.kind == "accepted" or (event.kind == "ok" and _works(event))):
            self._nameless[key] = None
        if event.kind == "started" and task:
            self._running[task] = event.source
        elif event.kind in ("ended", "failed", "rejected") and task:
            self._running.pop(task, None)
        elif event.kind == "exit":
            self._running = {task: name for task, name in self._running.items() if name != event.source}
        if self._settles(event):
            self._finish(task, key)

    def _accept(self, task: str, key: str) -> None:
        self._nameless.pop(key, None)
        if self._accepted.get(task) == key:
            return
        self._accepted[task] = key
        self._tasks.setdefault(key, []).append(task)
        if task in self._done or key in self._done:
            self._open.pop(task, None)
        else:
            self._open[task] = key

    def _finish(self, *names: str | None) -> None:
        for name in filter(None, names):  # a task's id may be the key of its operation
            self._done.add(name)
            self._open.pop(name, None)
            self._nameless.pop(name, None)
            for task in self._tasks.get(name, ()):
                if self._open.get(task) == name:
                    del self._open[task]

    def _settles(self, event: Event) -> bool:
        if event.kind == "effect":
            return True
        final = RANK.get(state_of(event), 0) == FINAL
        if event.kind == "read":
            # In an application that records effects, a task is done when its effect is recorded, whatever its status.
            return final and (not self._by_effect or state_of(event) in ("FAILURE", "FAILED", "REVOKED"))
        # Celery also says "failed" for a lost child process and a hard time limit; an application with a store of its
        # own may then start the task again.
        return not self._by_effect and (event.kind == "failed" or (event.kind == "ended" and final))

    @property
    def open(self) -> dict[str, str]:
        """The operations that were accepted with a task id and are not finished: a mapping from task to key."""
        with self._lock:
            return self._open.copy()

    @property
    def waiting(self) -> set[str]:
        """The keys of all operations that were accepted and are not finished, with or without a task id."""
        with self._lock:
            return {*self._open.values(), *self._nameless}

    @property
    def accepted(self) -> dict[str, str]:
        """All operations that were accepted with a task id: a mapping from task to key."""
        with self._lock:
            return self._accepted.copy()

    @property
    def running(self) -> int:
        """The number of tasks whose body runs now, according to the workers' signals."""
        return len(self._running)


def _works(event: Event) -> bool:
    return event.data.get("method") not in SAFE
