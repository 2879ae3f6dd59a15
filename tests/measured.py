"""A measured time as an interval: a busy machine makes a time longer, and how much longer is known in part."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from brownout.subject.processes.table import family
from brownout.subject.run_delay import RunDelay


@dataclass
class Span:
    """How long a block took, in seconds. All fields are 0 until the block has ended.

    `wall` is the upper end. `least` is the lower end: `wall` less `waited`, the time in which threads of the processes
    concerned were ready to run and waited for a CPU. A bound from above must hold for `least`; a bound from below must
    hold for `wall`.
    """

    wall: float = 0.0
    waited: float = 0.0

    @property
    def least(self) -> float:
        return max(0.0, self.wall - self.waited)


@contextmanager
def measured(*pids: int) -> Iterator[Span]:
    """Measure the block. The processes concerned are this one and those below it, or this one and `pids`."""
    span, delay = Span(), RunDelay()
    processes = [os.getpid(), *pids] if pids else family(os.getpid())
    delay.take(processes)
    begun = time.monotonic()
    try:
        yield span
    finally:
        span.wall = time.monotonic() - begun
        span.waited = sum(delay.take(processes).values()) / 1e9
