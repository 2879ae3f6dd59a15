"""From what the witnesses saw to one word: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from brownout.explore.cell import word

Answered = str  # "waiting", "accepted", "refused", "dead": what the caller knows of its submission
Told = str  # "waiting", "read", "unread", "dead", "none": what it knows of the result


@dataclass(frozen=True)
class Observation:
    """One trial's end, in facts."""

    wanted: Mapping[str, int]  # effect -> how often it should be there
    effects: Mapping[str, int]
    answered: Answered
    told: Told
    stored: frozenset[str] = field(default=frozenset())  # states of the tasks, read past the network
    final: frozenset[str] = field(default=frozenset({"SUCCESS"}))  # what they should be
    queued: int = 0  # messages of the workload that are left
    unacked: int = 0
    worker_died: bool = False  # by itself
    consuming: bool = True
    api_stalled: bool = False
    again: bool = False  # something was sent again, or connected anew, or the fault was waited for
    recorded: bool | None = None  # whether the application's own store knows of the job; None: it was not asked

    @property
    def text(self) -> str:
        """The facts that the outcome is made of, in one line."""
        done = ", ".join(f"{key} took effect {self.effects.get(key, 0)} of {n} times" for key, n in self.wanted.items())
        stored = ", ".join(sorted(self.stored)) or "no final state"
        known = {None: "", True: "; the application recorded it", False: "; the application has no record of it"}
        return (
            f"{done}; the submission was {self.answered}, the result {self.told}; stored: {stored};"
            f" {self.queued} messages queued, {self.unacked} unacked{known[self.recorded]}"
        )


def judge(seen: Observation) -> str:
    """The word for it: outcome and flags."""
    flags = {
        "worker-dead": seen.worker_died,
        "silent": not seen.consuming and not seen.worker_died,
        "api-stalled": seen.api_stalled,
    }
    return word(_outcome(seen), [flag for flag, there in flags.items() if there])


def _outcome(seen: Observation) -> str:
    more = any(count > seen.wanted.get(key, 0) for key, count in seen.effects.items())
    missing = any(seen.effects.get(key, 0) < count for key, count in seen.wanted.items())
    left = bool(seen.queued or seen.unacked)
    if more:
        return "duplicate"
    if seen.answered == "dead":
        return _unanswered(seen, missing, left)
    if seen.answered == "refused":
        return "misreported" if left or any(seen.effects.values()) else "refused"
    if missing:
        if left:
            return "stuck"
        return "lost" if seen.answered == "accepted" or not seen.consuming else "hangs"
    if seen.answered == "waiting":
        return "hangs"
    if left:
        return "duplicate-later"
    return _told(seen)


def _unanswered(seen: Observation, missing: bool, left: bool) -> str:
    """Nobody was promised anything. But twice is still twice, and the application's record must fit the effect."""
    if left and not missing:
        return "duplicate-later"
    if seen.recorded is False and (left or any(seen.effects.values())):
        return "misreported"
    if seen.recorded and missing:
        return "stuck" if left else "lost"
    return "unanswered"


def _told(seen: Observation) -> str:
    if seen.stored != seen.final:
        return "misreported"
    if seen.told in ("unread", "waiting"):
        return "unread"
    return "recovered" if seen.again else "once"
