"""Waiting for a condition, with a deadline: the only way in which anything here waits."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NeverHappened(TimeoutError):
    """What was awaited did not come true in time. The message says what, for how long, and what was seen instead."""


def eventually(
    condition: Callable[[], T],
    *,
    within: float,
    every: float = 0.01,
    what: str,
    evidence: Callable[[], str] | None = None,
    ignoring: type[Exception] | tuple[type[Exception], ...] = (),
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Return the first truthy value of `condition`.

    `within` (by `clock`) and `every` are seconds. `ignoring` names exceptions that only mean "not yet"; others pass
    through. The condition is always tried once more after the deadline, so a machine that stalled here proves nothing.
    Raises NeverHappened.
    """
    deadline = clock() + within
    while True:
        last_try = clock() >= deadline
        seen = ""
        try:
            if value := condition():
                return value
        except ignoring as error:
            seen = f"{type(error).__name__}: {error}"
        if last_try:
            shown = [seen, evidence() if evidence else ""]
            raise NeverHappened("\n".join([f"not within {within:g} s: {what}", *filter(None, shown)]))
        time.sleep(max(0.0, min(every, deadline - clock())))
