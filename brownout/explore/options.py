"""The options of a campaign, which makes a fault map, and the number of trials that should run at the same time on this
machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from brownout.explore.maps.cell import Cell
from brownout.plan.shard import Shard
from brownout.run.events import Handler, nobody
from brownout.run.store import Store
from brownout.subject.load import Load
from brownout.subject.servers.redis_server import RungName

COLD = 2  # Number of cells that are also tried with workers that are not forked but started by their command line.
# How many trials run at the same time for each CPU core; half as many with an API, because such trials have twice the
# processes.
AT_ONCE = 8


def at_any_time(**_: Any) -> AbstractContextManager[None]:
    """Return a context in which a trial runs without waiting for other trials."""
    return nullcontext()


class NoMap(RuntimeError):
    """No fault map can be made: the system does not work even without a fault, or the keys of its messages are
    unknown."""


@dataclass
class Options:
    """The options that say how a fault map is made. The function `emit` gets the events of the campaign, from the
    threads of the trials; `words` are the options of the command line, which the map stores as `options`.

    `store` keeps the capsule of each trial that broke a promise. The campaign tries only those planned cells that
    belong to its `shard`. A single trial (`Campaign.lasting`) runs within the context that `turn`
    gives (`Turns.taken`); a repeated trial is alone there.
    """

    actions: Collection[str] = ("standard",)
    points: Collection[str] = ()
    jobs: int = 0  # How many trials run at the same time; 0 means that the machine's load decides.
    most: int = 0  # The largest useful number of trials that run at the same time; 0 means no limit.
    repeat: int = 1
    cold: int = COLD
    provider: RungName | None = None
    emit: Handler = nobody
    words: tuple[str, ...] = ()
    store: Store | None = None
    shard: Shard | None = None
    turn: Callable[..., AbstractContextManager[None]] = at_any_time


def jobs_for(found: Load, *, api: bool = False) -> int:
    """Return how many trials should run at the same time under the machine's load; there are several trials per core
    because a trial mostly waits."""
    return max(2, math.ceil(AT_ONCE / (2 if api else 1) * found.share))


def spread(planned: Sequence[Cell], count: int) -> Sequence[Cell]:
    """Return at most `count` of the planned cells, at equal distances in their order."""
    return planned[:: max(1, len(planned) // count)][:count] if count else ()
