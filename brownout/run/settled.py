"""Which accepted operations are settled, kept up to date while the history grows."""

from __future__ import annotations

from collections.abc import Iterable

from brownout.history.event import Event
from brownout.history.operation import RANK, SAFE, state_of

FINAL = 2


class Settled:
    """Counts nothing twice: an operation is accepted once, and settled by the first event that says so."""

    def __init__(self, *, by_effect: bool) -> None:
        self._by_effect = by_effect
        self._accepted: dict[str, str] = {}  # task -> key
        self._nameless: dict[str, None] = {}  # keys that were accepted without a task id
        self._done: set[str] = set()  # tasks and keys
        self._running: dict[str, str] = {}  # task -> process
        self._wanted = {"effect"} if by_effect else {"effect", "ended"}

    def see(self, events: Iterable[Event]) -> None:
        """What happened."""
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
            # An application that records effects is done when the effect is there, whatever its status says.
            return final and (not self._by_effect or state_of(event) in ("FAILURE", "FAILED", "REVOKED"))
        # What Celery calls failed (a lost child, a hard time limit) an application with a store may begin again.
        return not self._by_effect and (event.kind == "failed" or (event.kind == "ended" and final))

    @property
    def open(self) -> dict[str, str]:
        """Accepted with a task id, and not settled: task -> key."""
        return {t: k for t, k in list(self._accepted.items()) if t not in self._done and k not in self._done}

    @property
    def waiting(self) -> set[str]:
        """Keys of what was accepted and is not settled, with a task id or without one."""
        return {*self.open.values(), *(key for key in self._nameless if key not in self._done)}

    @property
    def accepted(self) -> dict[str, str]:
        """All that were accepted with a task id: task -> key."""
        return dict(self._accepted)

    @property
    def running(self) -> int:
        """Tasks whose body runs now, as far as the workers' signals tell."""
        return len(self._running)


def _works(event: Event) -> bool:
    return event.data.get("method") not in SAFE
