"""Makes `Strike` objects (faults that have begun) that remember an effect of the fault: an effect that was seen before
the heal still counts after the heal."""

from __future__ import annotations

from collections.abc import Callable

from brownout.faults.strike import Strike

QUICK = 0.04  # Seconds that one call of `look` may take while the trial goes on.
PATIENT = 2.0  # Seconds that the last call of `look` may take, just before the fault heals.


def lasting(look: Callable[[float], str], undo: Callable[[], None]) -> Strike:
    """Make a `Strike` (a fault that has begun) from functions that look for its effect and undo it.

    `look` gets the seconds that it may take, and returns a text that describes the fault's effect, or "". When the
    fault heals, `look` is called once more, and then `undo`, until `undo` has succeeded once. When `undo` raises an
    exception, the caller of the heal gets it, and may try again.
    """
    seen, healed = "", False

    def acted(within: float = QUICK) -> str:
        nonlocal seen
        seen = seen or look(within)
        return seen

    def heal() -> None:
        nonlocal healed
        if not healed:
            acted(PATIENT)
            undo()
            healed = True

    return Strike(heal, acted)
