"""How a trial of one operation begins and ends, as data: what is warm before, and how long still means settled."""

from __future__ import annotations

from dataclasses import dataclass

from brownout.plan.operation import Operation


@dataclass(frozen=True)
class Settle:
    """The trial begins warm and idle, and ends by evidence: when nothing can change any more. All times in seconds.

    `held` is for how long a reply may be kept, past every time-out of 5 s or less. `result` is how long a caller waits
    for its result, `probe` how long a task that is sent afterwards may take to be done. Messages that the broker gives
    back (kombu's visibility timeout) come `recover` seconds later at most, 0 where that takes longer than anybody
    waits; `republished` is the same for what the application itself publishes again, 0 where it never does.
    `warm` is sent first, and everything of it is waited for. `fresh` lets the load come from a client process that has
    sent nothing before. `held` is for how long a reply may be kept, past every time-out of 5 s or less. `result` is how
    long a caller waits for its result, `probe` how long a task that is sent afterwards may take to be done. Messages
    that the broker gives back (kombu's visibility timeout) come `recover` seconds later at most, 0 where that takes
    longer than anybody waits; `republished` is the same for what the application itself publishes again, 0 where it
    never does. When nothing has moved for `still`, nobody gives anything back any more. `limit` ends the trial.
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
