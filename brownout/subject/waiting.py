"""Waits for a condition, with a deadline; used instead of sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NeverHappened(TimeoutError):
    """A condition did not become true before its deadline. The message names the condition, the limit and the last
    error."""


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
    """Call `condition` again and again, and return its first result that is true.

    `within` (measured by `clock`) and `every` are in seconds. Exceptions in `ignoring` mean only that the condition is
    not true yet; all other exceptions are raised. The condition is always checked once more after the deadline, because
    this thread itself may have been delayed. Raises NeverHappened; its message has the sentence `what` and the text
    that `evidence()` returns.
    """
    deadline = clock() + within
    while True:
        last_try = clock() >= deadline
        error_text = ""
        try:
            if value := condition():
                return value
        except ignoring as error:
            error_text = f"{type(error).__name__}: {error}"
        if last_try:
            details = [error_text, evidence() if evidence else ""]
            raise NeverHappened("\n".join([f"still not true after {within:g} s: {what}", *filter(None, details)]))
        time.sleep(max(0.0, min(every, deadline - clock())))
