"""A strike that remembers: evidence that was there before the heal counts after it."""

from __future__ import annotations

from collections.abc import Callable

from brownout.faults.strike import Strike

QUICK = 0.04  # seconds that a look may take while the trial goes on
PATIENT = 2.0  # and the last one, just before the fault is healed


def lasting(look: Callable[[float], str], undo: Callable[[], None]) -> Strike:
    """Make a strike of a `look` for evidence, which is given the seconds it may take, and of what undoes the fault.

    It looks once more before it undoes anything, and undoes once; what `undo` raises is raised, and it may be tried
    again.
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
