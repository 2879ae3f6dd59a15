"""Operations, joined from what the client, the workers and the effects ledger said about one key."""

from __future__ import annotations

from dataclasses import dataclass

from brownout.history.event import Event

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: The names that Celery and common job stores give to the same states: 0 waits, 1 runs, 2 is over.
RANK = {
    **dict.fromkeys(("PENDING", "QUEUED", "ACCEPTED", "RECEIVED"), 0),
    **dict.fromkeys(("STARTED", "RUNNING", "PROGRESS", "RETRY", "RETRYING"), 1),
    **dict.fromkeys(("SUCCESS", "SUCCEEDED", "DONE", "FAILURE", "FAILED", "REVOKED"), 2),
}
SUCCESS = frozenset({"SUCCESS", "SUCCEEDED", "DONE"})
FAILURE = frozenset({"FAILURE", "FAILED", "REVOKED"})


def state_of(event: Event) -> str:
    """The state that a `read` or an `ended` names, in capitals; empty when it names none."""
    return str(event.data.get("state") or "").upper()


@dataclass(frozen=True)
class Operation:
    """One key's life. `events` are all that name the key or one of its tasks, in order."""

    key: str
    tasks: tuple[str, ...]
    events: tuple[Event, ...]

    def of(self, *kinds: str) -> tuple[Event, ...]:
        """Its events of these kinds."""
        return tuple(event for event in self.events if event.kind in kinds)

    @property
    def invoke(self) -> Event | None:
        """The first time a client tried."""
        return next((event for event in self.events if event.kind == "invoke"), None)

    @property
    def outcomes(self) -> tuple[Event, ...]:
        """What clients learnt: `ok`, `fail` or `info`, one for each try that came back."""
        return self.of("ok", "fail", "info")

    @property
    def tries(self) -> tuple[tuple[Event, Event | None], ...]:
        """Each `invoke` with what came back for it, None while it is open.

        Answers are taken in order: of all ways to pair tries that ran at once it shows the shortest longest wait, so
        it never makes an answer slower than it was.
        """
        ends = list(self.outcomes)
        return tuple((invoke, ends.pop(0) if ends else None) for invoke in self.of("invoke"))

    @property
    def path(self) -> str:
        """The request's path without its query; of a submitted task its name."""
        data = self.invoke.data if self.invoke else {}
        return str(data.get("path") or data.get("name") or "").partition("?")[0]

    @property
    def works(self) -> bool:
        """Whether it asks for work to be done: a submitted task, or a request that is not merely a read."""
        invoke = self.invoke
        if invoke is None:
            return False
        method = invoke.data.get("method")
        return invoke.data.get("op") == "submit" or method is None or str(method).upper() not in SAFE

    @property
    def accepted(self) -> Event | None:
        """What obliges the subject: the first `ok` that is no error, else that its own store has accepted the job.

        An `info` obliges to nothing, nor does a record that the application took back.
        """
        if not self.works:
            return None
        answered = (e for e in self.events if e.kind == "ok" and (e.data.get("status") or 200) < 400)
        recorded = () if self.of("withdrawn") else self.of("accepted")
        return next(answered, next(iter(recorded), None))

    @property
    def refused(self) -> bool:
        """Every try was definitely turned away. A 5xx or a broken connection is nobody's refusal."""
        ends = self.outcomes
        return (
            len(ends) >= len(self.of("invoke"))
            and not (self.of("accepted") and not self.of("withdrawn"))
            and all(end.kind == "fail" and (end.data.get("status") or 400) < 500 for end in ends)
        )

    @property
    def effects(self) -> tuple[Event, ...]:
        """The effects that were really done for it."""
        return self.of("effect")

    @property
    def final(self) -> Event | None:
        """The last status that a client read."""
        return next((event for event in reversed(self.events) if event.kind == "read"), None)
