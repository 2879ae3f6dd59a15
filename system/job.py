"""A job as data: its states, what a client asks for, what it can read."""

import hashlib
import json
import time
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Celery's names. A job moves PENDING, STARTED, RETRY (the last two in turn), then SUCCESS or FAILURE for good."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


FINAL = (State.SUCCESS, State.FAILURE)


@dataclass(frozen=True, slots=True)
class Request:
    """What a client wants done: a task's name and its arguments, and the key that makes asking twice harmless."""

    task: str
    args: tuple[Any, ...]
    key: str | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def fingerprint(self) -> str:
        """The same for equal requests only."""
        text = json.dumps([self.task, self.args], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the store. `error` is `{"type", "message"}` of a FAILURE."""

    id: str
    task: str
    args: tuple[Any, ...]
    state: State
    attempts: int
    result: Any = None
    error: dict[str, str] | None = None

    @property
    def finished(self) -> bool:
        """Whether the state is final."""
        return self.state in FINAL


@dataclass(frozen=True, slots=True)
class Start:
    """Whether a delivery may run, and the job as it was before; None if it did not come through the store."""

    run: bool
    job: Job | None


class Refused(Exception):
    """The store does not take the job, and has recorded nothing."""


class Backlog(Refused):
    """There are as many unfinished jobs as the settings allow."""


class KeyReused(Refused):
    """The idempotency key belongs to another request."""


def now() -> float:
    """Seconds since the epoch: leases are compared between processes."""
    return time.time()
