"""What goes over HTTP."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat

MAX_DEPTH = 32


def plain(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what Python's JSON reader lets through and no other can be trusted with.

    Raises `ValueError` for NaN and infinities, for lone surrogates (not encodable as UTF-8), for integers that other
    readers would round, and for nesting that a recursive writer would not survive.
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
    Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$", description="Repeating a request with its key is harmless"),
]


class Body(BaseModel):
    """A request's body: nothing but what is named, and of that type: "1" and true are no numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Division(Body):
    """Two finite numbers."""

    x: FiniteFloat
    y: FiniteFloat


def whole(value: object) -> object:
    """14.0 as 14: an integer to JSON Schema, so to clients."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Computation(Body):
    """A job for a processor; the work grows with 1.6 to the n."""

    n: Annotated[int, BeforeValidator(whole)] = Field(ge=0, le=30)


class Message(BaseModel):
    """A sentence."""

    message: str


class Accepted(Message):
    """The job is recorded and will end; `task_id` tells how it goes."""

    task_id: str


class JobError(BaseModel):
    """Why a job failed."""

    type: str
    message: str


class TaskStatus(BaseModel):
    """A job as it stands. The final states are SUCCESS and FAILURE."""

    task_id: str
    task_status: Literal["PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE"]
    attempts: int
    task_result: Any = None
    error: JobError | None = None


class Problem(BaseModel):
    """What went wrong, in a sentence."""

    detail: str


class Invalid(BaseModel):
    """A reason in one sentence for each input that is wrong; the input itself is not repeated."""

    class Reason(BaseModel):
        """Where, and what."""

        loc: list[str | int]
        msg: str
        type: str

    detail: list[Reason]


class Stats(BaseModel):
    """Counts for monitoring."""

    jobs: dict[str, int]
    unfinished: int
    oldest_unfinished_seconds: float | None
    seconds_since: dict[str, float]
    effects: int
    background: dict[str, int]


class Health(BaseModel):
    """One word for each part that was asked."""

    status: Literal["ok", "unavailable"]
    parts: dict[str, Literal["up", "down"]] = {}
