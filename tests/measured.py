"""A measured time as an interval: a busy machine makes a time longer, and how much longer is known in part."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from brownout.subject.run_delay import RunDelay, family


@dataclass
class Span:
    """How long a block took, in seconds. Both fields are 0 until the block has ended.

    `wall` is the upper end. `least` is the lower end: `wall` less the time in which threads of this process, and of the
    processes below it, were ready to run and waited for a CPU. A bound from above must hold for `least`; a bound from
    below must hold for `wall`.
    """

    wall: float = 0.0
    least: float = 0.0


@contextmanager
def measured() -> Iterator[Span]:
    """Measure the block."""
    span, delay, processes = Span(), RunDelay(), family(os.getpid())
    delay.take(processes)
    begun = time.monotonic()
    try:
        yield span
    finally:
        span.wall = time.monotonic() - begun
        waited = sum(delay.take(processes).values()) / 1e9
        span.least = max(0.0, span.wall - waited)
