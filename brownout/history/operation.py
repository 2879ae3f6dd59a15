"""Operations of a history: each operation has all events of the client, the workers and the ledger for one key."""

from __future__ import annotations

from dataclasses import dataclass

from brownout.history.event import Event

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: The states of jobs, as Celery and common job stores name them: 0 means that the job waits, 1 that it runs, 2 that it
#: has ended.
RANK = {
    **dict.fromkeys(("PENDING", "QUEUED", "ACCEPTED", "RECEIVED"), 0),
    **dict.fromkeys(("STARTED", "RUNNING", "PROGRESS", "RETRY", "RETRYING"), 1),
    **dict.fromkeys(("SUCCESS", "SUCCEEDED", "DONE", "COMPLETED", "FINISHED"), 2),
    **dict.fromkeys(("FAILURE", "FAILED", "REVOKED", "ERROR"), 2),
}
SUCCESS = frozenset({"SUCCESS", "SUCCEEDED", "DONE", "COMPLETED", "FINISHED"})
FAILURE = frozenset({"FAILURE", "FAILED", "REVOKED", "ERROR"})


def state_of(event: Event) -> str:
    """Return the state in a `read` or `ended` event, in capitals; "" when the event has no state."""
    return str(event.data.get("state") or "").upper()


@dataclass(frozen=True)
class Operation:
    """An operation: all events of a history that have the same key.

    `events` has, in their order, all events that name the operation's key or one of its tasks.
    """

    key: str
    tasks: tuple[str, ...]
    events: tuple[Event, ...]

    def of(self, *kinds: str) -> tuple[Event, ...]:
        """Return those events of the operation that are of these kinds."""
        return tuple(event for event in self.events if event.kind in kinds)

    @property
    def invoke(self) -> Event | None:
        """The event of the client's first try, or None when no client sent the operation."""
        return next((event for event in self.events if event.kind == "invoke"), None)

    @property
    def outcomes(self) -> tuple[Event, ...]:
        """The events `ok`, `fail` and `info`: one for each try of the client that has ended."""
        return self.of("ok", "fail", "info")

    @property
    def tries(self) -> tuple[tuple[Event, Event | None], ...]:
        """Pairs of each `invoke` and its outcome; the outcome is None while the client still waits.

        The events `invoke` and the outcomes are paired in the order of time. When several tries ran at the same time,
        this pairing has the smallest possible maximum of waiting times, so no answer appears slower than it could have
        been.
        """
        ends = list(self.outcomes)
        return tuple((invoke, ends.pop(0) if ends else None) for invoke in self.of("invoke"))

    @property
    def path(self) -> str:
        """The request's path without its query, or the submitted task's name."""
        data = self.invoke.data if self.invoke else {}
        return str(data.get("path") or data.get("name") or "").partition("?")[0]

    @property
    def works(self) -> bool:
        """Whether the operation asks for work: a submitted task, or a request that is not GET, HEAD or OPTIONS."""
        invoke = self.invoke
        if invoke is None:
            return False
        method = invoke.data.get("method")
        return invoke.data.get("op") == "submit" or method is None or str(method).upper() not in SAFE

    @property
    def accepted(self) -> Event | None:
        """The event after which the subject must do the operation: the first `ok` with an HTTP status below 400.

        If there is no `ok`, the event `accepted` from the application's own store counts, unless the application
        withdrew the job. An outcome `info` (nobody knows whether it was done) does not count as an acceptance.
        """
        if not self.works:
            return None
        answered = (e for e in self.events if e.kind == "ok" and (e.data.get("status") or 200) < 400)
        recorded = () if self.of("withdrawn") else self.of("accepted")
        return next(answered, next(iter(recorded), None))

    @property
    def refused(self) -> bool:
        """Whether every try was definitely refused. An HTTP status of 5xx or a broken connection does not mean that the
        operation was refused."""
        ends = self.outcomes
        return (
            len(ends) >= len(self.of("invoke"))
            and not (self.of("accepted") and not self.of("withdrawn"))
            and all(end.kind == "fail" and (end.data.get("status") or 400) < 500 for end in ends)
        )

    @property
    def effects(self) -> tuple[Event, ...]:
        """The effects that were really done for the operation."""
        return self.of("effect")

    @property
    def final(self) -> Event | None:
        """The last status that a client read."""
        return next((event for event in reversed(self.events) if event.kind == "read"), None)
