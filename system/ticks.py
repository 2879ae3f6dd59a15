"""The ticks of the schedule. Each tick is a row of its own; ticks that were missed are done later, in order."""

import logging
import math
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Table, delete, func, select

from system.job import now
from system.settings import Settings
from system.tables import ticks

log = logging.getLogger(__name__)


def due_ticks(last: float | None, at: float, period: float, oldest: float) -> list[float]:
    """Return the ticks after `last` until `at`, in order, without ticks before `oldest`. A tick is a multiple of
    `period`. A schedule without a tick begins with the newest. Times in seconds since the epoch."""
    newest = math.floor(at / period)
    if newest * period > at:  # the quotient was rounded up
        newest -= 1
    if last is None:
        return [newest * period]
    numbers = range(math.floor(max(last, oldest) / period), newest + 1)
    return [number * period for number in numbers if number * period > last]


def claim_tick(connection: Connection, insert: Callable[[Table], Any], settings: Settings) -> float | None:
    """Record the oldest tick that is due as done, in the caller's transaction, and return its time.

    Missed ticks beyond the newest `tick_catch_up` are recorded as skipped. Returns None when no tick is due, or when
    another transaction has recorded this tick meanwhile: PostgreSQL waits for its commit, SQLite has one writer.
    """
    at = now()
    # A tick later than now is from a clock that is ahead of this one. If it was done, it is not done again. If it was
    # skipped, it is done when its time comes. Neither stops a tick before it.
    connection.execute(delete(ticks).where(ticks.c.due > at, ticks.c.skipped))
    last = connection.execute(select(func.max(ticks.c.due)).where(ticks.c.due <= at)).scalar_one()
    due = due_ticks(last, at, settings.tick_seconds, at - settings.retention)
    if not due:
        return None
    skipped = due[: -(settings.tick_catch_up + 1)]
    new = insert(ticks).on_conflict_do_nothing()
    if skipped:
        log.warning("%d missed ticks are skipped, because only %d are caught up", len(skipped), settings.tick_catch_up)
        connection.execute(new, [{"due": tick, "skipped": True, "at": at} for tick in skipped])
    done = new.values(due=due[len(skipped)], skipped=False, at=at).returning(ticks.c.due)
    claimed: float | None = connection.execute(done).scalar_one_or_none()
    return claimed
