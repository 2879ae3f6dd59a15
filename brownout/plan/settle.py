"""How a trial of one operation is warmed up, and how long its end waits for late changes, as data."""

from __future__ import annotations

from dataclasses import dataclass

from brownout.plan.operation import Operation


@dataclass(frozen=True)
class Settle:
    """Limits (s) for a trial that begins warm and idle, and ends when nothing can change any more.

    `warm` is sent first, and the trial waits until everything that `warm` causes is done. With `fresh` the load
    comes from a client process that has sent nothing before. A fault may keep a reply for `held`, which is longer
    than every time-out of 5 s or less. A caller waits at most `result` for the result of its operation. A task
    that is sent afterwards must be done within `probe`. The broker gives messages back (kombu's visibility
    timeout) after `recover` at most; 0 means that this takes longer than the trial waits. The application
    publishes messages again after `republished` at most; 0 means never. After `still` without any change no
    message will be given back. The trial ends at the latest after `limit`.
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
