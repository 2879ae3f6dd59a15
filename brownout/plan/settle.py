"""How a trial of one operation is warmed up, and how long its end waits for late changes, as data."""

from __future__ import annotations

from dataclasses import dataclass

from brownout.plan.operation import Operation


@dataclass(frozen=True)
class Settle:
    """Limits (s) for a trial that begins warm and idle, and ends when nothing can change any more.

    `warm` is sent first, and the trial waits until everything that `warm` causes is done. With `fresh` the load comes
    from a client process that has sent nothing before. A fault may keep a reply for `held` seconds, longer than every
    time-out of 5 s or less. A caller waits at most `result` seconds for the result of its operation. The probe, a task
    that is sent after the operation, must be done within `probe` seconds. The broker gives messages back (kombu's
    visibility timeout) after `recover` seconds at most; 0 means that the trial does not wait for that. The application
    publishes messages again after `republished` seconds at most; 0 means never. After `still` seconds without any
    change the broker will not give any message back to a worker. The trial ends after `limit` seconds at the latest.
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
