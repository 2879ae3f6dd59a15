"""Finds out, from the events of a growing history, which accepted operations are finished (settled)."""

from __future__ import annotations

from collections.abc import Iterable

from brownout.history.event import Event
from brownout.history.operation import RANK, SAFE, state_of

FINAL = 2


class Settled:
    """Keeps track of the operations that were accepted, and of those that are finished. If `by_effect` is true, an
    operation counts as finished only after an effect or a final failure."""

    def __init__(self, *, by_effect: bool) -> None:
        self._by_effect = by_effect
        self._accepted: dict[str, str] = {}  # Maps each task to its key.
        self._nameless: dict[str, None] = {}  # Keys of operations that were accepted without a task id.
        self._done: set[str] = set()  # The tasks and keys of operations that are finished.
        self._running: dict[str, str] = {}  # Maps each running task to the process that runs it.

    def see(self, events: Iterable[Event]) -> None:
        """Take new events of the history into account."""
        for event in events:
            if event.kind in ("ok", "accepted") and event.task and event.key:
                self._accepted[event.task] = event.key
                self._nameless.pop(event.key, None)
            elif event.key and (event.kind == "accepted" or (event.kind == "ok" and _works(event))):
                self._nameless[event.key] = None
            if event.kind == "started" and event.task:
                self._running[event.task] = event.source
            elif event.kind in ("ended", "failed", "rejected") and event.task:
                self._running.pop(event.task, None)
            elif event.kind == "exit":
                self._running = {task: name for task, name in self._running.items() if name != event.source}
            if self._settles(event):
                self._done |= {name for name in (event.task, event.key) if name}

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
        return {t: k for t, k in list(self._accepted.items()) if t not in self._done and k not in self._done}

    @property
    def waiting(self) -> set[str]:
        """The keys of all operations that were accepted and are not finished, with or without a task id."""
        return {*self.open.values(), *(key for key in self._nameless if key not in self._done)}

    @property
    def accepted(self) -> dict[str, str]:
        """All operations that were accepted with a task id: a mapping from task to key."""
        return dict(self._accepted)

    @property
    def running(self) -> int:
        """The number of tasks whose body runs now, according to the workers' signals."""
        return len(self._running)


def _works(event: Event) -> bool:
    return event.data.get("method") not in SAFE
