"""How a map is made: the options of a campaign, and how many trials at once suit the machine."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from brownout.run.events import Handler, nobody
from brownout.run.store import Store
from brownout.subject.load import Load
from brownout.subject.servers.redis_server import RungName

COLD = 2  # cells that are tried with the cold command line, too
AT_ONCE = 8  # trials for each core; half of that with an API, whose trials have twice the processes


class NoMap(RuntimeError):
    """There is nothing to draw a map of: the system does not even work without a fault."""


@dataclass
class Options:
    """How a map is made. `emit` is called from the threads of the trials; `words` are kept as the map's `options`.

    `store` keeps the capsules of trials with a broken promise.
    """

    actions: Collection[str] = ("standard",)
    points: Collection[str] = ()
    jobs: int = 0  # trials at once; 0: as many as suit the machine
    most: int = 0  # trials at once that are of use; 0: any number
    repeat: int = 1
    cold: int = COLD
    provider: RungName | None = None
    emit: Handler = nobody
    words: tuple[str, ...] = ()
    store: Store | None = None


def jobs_for(found: Load, *, api: bool = False) -> int:
    """Trials at once that suit the machine, beside what others do there: trials wait more than they work."""
    return max(2, math.ceil(AT_ONCE / (2 if api else 1) * found.share))
