"""The data for a trial of one operation: what is sent before the load, and how long the end of the trial waits for late
changes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from brownout.plan.operation import Operation

LITTLE = 0.5  # Seconds; every time limit leaves more time than this for the operation itself.
WARM_UP = 20.0  # Seconds; the longest time that each step of the warm-up may take.


@dataclass(frozen=True)
class Settle:
    """Time limits (in seconds) for a trial that begins with a connected and idle system, and ends when nothing can
    change any more.

    The operation `warm` is sent before the load, and the trial waits until everything that it causes is done. If
    `fresh` is true, the client process that sends the load has sent nothing before. A fault may delay a reply for
    `held` seconds, which is longer than every time-out of 5 s or less. A caller waits for the result of its operation
    at most `result` seconds. A probe is a task that is sent after the operation; it must be done within `probe`
    seconds. The broker gives messages back (kombu's visibility timeout) after `recover` seconds at most; 0 means that
    the trial does not wait for that. At most `republished` seconds pass until the application publishes a message
    again; 0 means that it never does. After `still` seconds without any change the broker will not give any message
    back to a worker. The trial ends after `limit` seconds at the latest.
    Each step of the warm-up may take `warm_up` seconds.

    The default limits are for a task that ends at once; the method `patient` makes longer limits.
    """

    warm: Operation
    held: float
    probe: float
    result: float
    recover: float
    republished: float
    limit: float
    still: float
    fresh: bool = False
    warm_up: float = WARM_UP

    def patient(self, seconds: float) -> Settle:
        """Return the limits for an operation that took `seconds` seconds without a fault; if this is at most LITTLE,
        the limits do not change."""
        if seconds <= LITTLE:
            return self
        longer = {name: getattr(self, name) + seconds for name in ("held", "probe", "result", "still")}
        return replace(self, **longer, limit=self.limit + 4 * seconds)
