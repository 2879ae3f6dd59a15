"""The options of a campaign, which makes a fault map, and the number of trials at once that suits the machine."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from brownout.run.events import Handler, nobody
from brownout.run.store import Store
from brownout.subject.load import Load
from brownout.subject.servers.redis_server import RungName

COLD = 2  # number of cells that are also tried with workers started cold, not forked
AT_ONCE = 8  # trials at once per CPU core; half as many with an API, because such trials have twice the processes


class NoMap(RuntimeError):
    """No fault map can be made: the system does not work even without a fault, or the keys of its messages are
    unknown."""


@dataclass
class Options:
    """How a fault map is made. `emit` is called from the threads of the trials; `words` are the command's options,
    which the map keeps in its field `options`.

    `store` keeps the capsule of each trial that broke a promise.
    """

    actions: Collection[str] = ("standard",)
    points: Collection[str] = ()
    jobs: int = 0  # number of trials at once; 0 means as many as suit the machine
    most: int = 0  # the largest number of trials at once that has any use; 0 means no limit
    repeat: int = 1
    cold: int = COLD
    provider: RungName | None = None
    emit: Handler = nobody
    words: tuple[str, ...] = ()
    store: Store | None = None


def jobs_for(found: Load, *, api: bool = False) -> int:
    """Return how many trials at once suit the machine's load; there are several per core because a trial mostly
    waits."""
    return max(2, math.ceil(AT_ONCE / (2 if api else 1) * found.share))
