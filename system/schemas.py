"""The bodies of HTTP requests and answers."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat

from system.job import Job

MAX_DEPTH = 32


def plain(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse JSON values that Python's reader accepts but other JSON readers may not read correctly.

    Raises `ValueError` for NaN and infinities, for lone surrogates (not encodable as UTF-8), for integers of more than
    64 bits, and for nesting so deep that a recursive writer would fail.
    """
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
            else:
                _check_scalar(item)
        if not below:
            return value
        level = below
    raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _check_scalar(value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("numbers must be finite")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("integers must fit into 64 bits")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("text must be valid Unicode, without lone surrogates") from None


JsonObject = Annotated[
    dict[str, Any],
    AfterValidator(plain),
    Field(description=f"Finite numbers, integers of 64 bits, valid Unicode, nested at most {MAX_DEPTH} deep"),
]
Key = Annotated[
    str | None,
    Field(
        pattern=r"^[A-Za-z0-9._:-]{1,128}$",
        description="A request that is repeated with the same key makes no second job",
    ),
]


class Body(BaseModel):
    """The body of a request. Unknown fields are refused, and values are not converted: "1" and true are no numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Division(Body):
    """The body of a request for a division: two finite numbers."""

    x: FiniteFloat
    y: FiniteFloat


def whole(value: object) -> object:
    """Convert 14.0 to 14, because JSON Schema counts 14.0 as an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Computation(Body):
    """The body of a request for a Fibonacci number; the work grows as 1.6 to the power of `n`."""

    n: Annotated[int, BeforeValidator(whole)] = Field(ge=0, le=30)


class Message(BaseModel):
    """An answer with a message for people."""

    message: str


class Accepted(Message):
    """The answer for an accepted job; `task_id` is the id with which a client asks for the status."""

    task_id: str


class JobError(BaseModel):
    """The error with which a job failed."""

    type: str
    message: str


class TaskStatus(BaseModel):
    """The present state of a job. The final states are SUCCESS and FAILURE."""

    task_id: str
    task_status: Literal["PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE"]
    attempts: int
    task_result: Any = None
    error: JobError | None = None


def status_of(job: Job) -> TaskStatus:
    """What a client may know of its job."""
    error = None if job.error is None else JobError(**job.error)
    return TaskStatus(
        task_id=job.id, task_status=job.state.value, attempts=job.attempts, task_result=job.result, error=error
    )


class DeadLetter(BaseModel):
    """A job that used up its retries or starts, or whose task no worker knows, and the error that it ended with.
    `died_at` is in seconds since the epoch."""

    model_config = ConfigDict(from_attributes=True)

    task_id: str = Field(validation_alias="job_id")
    task: str
    reason: Literal["poison", "retries", "unknown task"]
    error: JobError
    attempts: int
    died_at: float = Field(validation_alias="at")


class DeadLetterPage(BaseModel):
    """Dead letters, the oldest first. `next` is the `after` of the next page; null on the last page."""

    dead_letters: list[DeadLetter]
    next: int | None


class Problem(BaseModel):
    """The answer to a request that failed: one sentence with the reason."""

    detail: str


class Invalid(BaseModel):
    """The answer to a request with wrong input: one reason for each wrong field, without the input itself."""

    class Reason(BaseModel):
        """The place of a wrong value in the request, and the reason in one sentence."""

        loc: list[str | int]
        msg: str
        type: str

    detail: list[Reason]


class Stats(BaseModel):
    """Statistics of jobs and background tasks, for monitoring."""

    jobs: dict[str, int]
    unfinished: int
    dead_letters: int
    oldest_unfinished_seconds: float | None
    seconds_since: dict[str, float]
    effects: int
    background: dict[str, int]


class Health(BaseModel):
    """The health of the API: the word "up" or "down" for each checked part."""

    status: Literal["ok", "unavailable"]
    parts: dict[str, Literal["up", "down"]] = {}


class Readiness(Health):
    """The readiness of the API: a sentence for each part that is down."""

    reasons: dict[str, str] = {}
