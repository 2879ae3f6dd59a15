"""Makes strikes that keep their evidence: evidence from before the heal still counts after the heal."""

from __future__ import annotations

from collections.abc import Callable

from brownout.faults.strike import Strike

QUICK = 0.04  # s; the time for a look while the trial goes on
PATIENT = 2.0  # s; the time for the last look, just before the fault heals


def lasting(look: Callable[[float], str], undo: Callable[[], None]) -> Strike:
    """Make a strike from a function that looks for evidence and a function that undoes the fault.

    `look` gets the seconds that it may take, and returns the evidence or "". Healing calls `look` once more and then
    `undo`, until `undo` has succeeded once. Healing raises the exceptions of `undo`, and may then be tried again.
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
