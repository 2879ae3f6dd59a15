"""Jobs as data: a client's request, the job in the store, and the job's states."""

import hashlib
import json
import time
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """The states of a job, with Celery's names. A job is PENDING, then STARTED and RETRY in turn, and at last SUCCESS
    or FAILURE."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


FINAL = (State.SUCCESS, State.FAILURE)
LOCAL = "local"  # the one owner of all jobs where no API keys are configured


class Reason(StrEnum):
    """Why a job is a dead letter."""

    POISON = "poison"
    RETRIES = "retries"
    UNKNOWN_TASK = "unknown task"


@dataclass(frozen=True, slots=True)
class Request:
    """A client's request for a job: a task's name, its arguments, and an idempotency key, so that repeating the request
    makes no second job. Each owner has keys of its own."""

    task: str
    args: tuple[Any, ...]
    key: str | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    owner: str = LOCAL

    @property
    def own_key(self) -> str | None:
        """The key in the job store, which differs between owners: no key has a slash."""
        return self.key if self.key is None or self.owner == LOCAL else f"{self.owner}/{self.key}"

    @property
    def fingerprint(self) -> str:
        """A hash of the task and its arguments: only equal requests have the same fingerprint."""
        text = json.dumps([self.task, self.args], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the job store. `error` is {"type", "message"} when the state is FAILURE."""

    id: str
    task: str
    args: tuple[Any, ...]
    state: State
    attempts: int
    result: Any = None
    error: dict[str, str] | None = None
    owner: str = LOCAL
    attempts_before: int = 0  # attempts before the job was last re-driven
    published_at: float | None = None  # of a job that a relay has claimed, see `tables.outbox`

    @property
    def position(self) -> tuple[int, int]:
        """Where the job is in its life. A later state has a greater position."""
        return self.attempts, 2 if self.finished else int(self.state == State.STARTED)

    @property
    def finished(self) -> bool:
        """Whether the state is final."""
        return self.state in FINAL


@dataclass(frozen=True, slots=True)
class Start:
    """Whether a delivered message may run, and its job before the start; the job is None for a task that was sent past
    the job store."""

    run: bool
    job: Job | None


class Refused(Exception):
    """The job store refuses a request and has recorded nothing."""


class Backlog(Refused):
    """The job store refuses a request because the number of unfinished jobs, or of the owner's unfinished jobs, has
    reached its limit."""


class KeyReused(Refused):
    """The job store refuses a request because its idempotency key belongs to another request."""


def now() -> float:
    """Return the time in seconds since the epoch, so that processes can compare the times of leases."""
    return time.time()
