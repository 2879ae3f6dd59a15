"""What the system promises, under whatever fault."""

from brownout import (
    Promise,
    at_least_once,
    conservation,
    drained,
    effectively_once,
    no_cross_talk,
    nothing_stuck,
    recovers,
    status_monotone,
    status_truthful,
)
from tests.chaos.conftest import recovery_bound, settings

#: A worker's start, the queue's length times a task, and the noise of a busy machine.
SLACK = 10.0


def bound() -> float:
    """Seconds after the last fault in which everything is done: whatever brings a job back, the slowest of them."""
    the = settings()
    restored = the.visibility_timeout + the.mutex_expire + 2  # kombu's sweep comes every second
    wedged = the.wedge_seconds * (1 + the.broker_timeout)
    return max(recovery_bound(), restored) + wedged + SLACK


def jobs_end_once(besides: tuple[str, ...] = ()) -> tuple[Promise, ...]:
    """Each 202 ends once, is told truly, and leaves nothing behind; `besides` are effects that nobody asked for."""
    return (
        at_least_once(within=bound()),
        effectively_once(),
        drained(),
        nothing_stuck(),
        status_monotone(),
        status_truthful(),
        no_cross_talk(),
        conservation(besides=besides),
        recovers(within=bound()),
    )


def by_name() -> tuple[Promise, ...]:
    """For tasks that go past the store: what Celery promises with late acks, and the effect's key."""
    return (at_least_once(within=bound()), effectively_once(by="task"), drained(), conservation())


def published_in_time() -> Promise:
    """A job is done soon, although the links of both its publishers are dead: each has its time-out."""
    the = settings()
    return at_least_once(
        within=2 * (the.broker_timeout + the.publish_lease) + the.relay_interval + SLACK / 2, during=True
    )
