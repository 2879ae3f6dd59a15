"""Cells of the map of stock Celery with its defaults: what it does when a connection is cut is known, and stays so."""

import pytest

from brownout import MapCell, fault_map

pytestmark = pytest.mark.chaos

#: What becomes of the task when the connection is cut there, and why.
KNOWN = {
    # kombu publishes again when it does not see the reply (task_publish_retry).
    "client->broker/LPUSH#1/before-cut": ("once", "recovered"),
    "client->broker/LPUSH#1/after-cut": ("duplicate",),
    # BRPOP takes the message out of the queue; kombu's QoS.append writes it down in a round trip of its own.
    "worker->broker/BRPOP#1/after-cut": ("lost",),
    "worker->broker/ZADD#1/before-cut": ("lost",),
    "worker->broker/ZADD#1/after-cut": ("stuck",),
    # An early acknowledgement that is lost leaves the message in `unacked`, to be delivered again in an hour.
    "worker->broker/ZREM#1/before-cut": ("duplicate-later",),
    "worker->broker/ZREM#1/after-cut": ("once", "recovered"),
    # The backend reads before it writes, and only the write is tried again: a success is stored as a FAILURE.
    "worker->backend/GET#1/before-cut": ("misreported",),
    "worker->backend/SETEX#1/before-cut": ("once", "recovered"),
    "worker->backend/SETEX#1/after-cut": ("once", "recovered"),
}
pytest_generate_tests = fault_map(points=list(KNOWN), actions=["cut"])


def test_map(cell: MapCell) -> None:
    """One cut at one place of a task's life."""
    cell.run().must_be(*KNOWN[cell.name])
