"""Dead letters: jobs that used up what they may. They wait until somebody re-drives them."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, null, select, update

from system.database import Database
from system.job import Backlog, Job, Reason, State, now
from system.settings import Settings
from system.tables import dead_letters, jobs, outbox

UNFINISHED = select(outbox.c.owner, func.count()).group_by(outbox.c.owner)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead job, why it is dead, and since when (s since the epoch). `id` grows with each dead letter."""

    id: int
    job_id: str
    task: str
    reason: Reason
    error: dict[str, str]
    attempts: int
    at: float


class DeadLetters:
    """The dead letters of one database; each method is one transaction."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings

    def page(self, owner: str, limit: int, after: int = 0) -> list[DeadLetter]:
        """Up to `limit` dead letters of this owner, the oldest first, that came after the one with the id `after`."""
        columns = dead_letters.c, jobs.c.task, jobs.c.error, jobs.c.attempts
        query = select(*columns[0], *columns[1:]).join(jobs).order_by(dead_letters.c.id).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query.where(dead_letters.c.owner == owner, dead_letters.c.id > after)).all()
        return [
            DeadLetter(row.id, row.job_id, row.task, Reason(row.reason), row.error, row.attempts, row.at)
            for row in rows
        ]

    def redrive(self, owner: str, job_id: str) -> bool:
        """Make a dead job of this owner PENDING again, with all its attempts, and due at once. Its id stays, and so
        does the key of its effect. Returns False when the owner has no such dead letter. Raises `Backlog`."""
        if "\0" in job_id:
            return False  # PostgreSQL can't be asked
        with self._database.write() as connection:
            own = dead_letters.c.job_id == job_id, dead_letters.c.owner == owner
            if connection.execute(delete(dead_letters).where(*own).returning(dead_letters.c.id)).first() is None:
                return False
            if (full := backlog(unfinished_by_owner(connection), owner, self._settings)) is not None:
                raise full
            # Attempts are counted on: a message of an earlier attempt stays an old one.
            values: dict[str, Any] = {"attempts": jobs.c.attempts + 1, "attempts_before": jobs.c.attempts, "starts": 0}
            values |= {"state": State.PENDING, "error": null(), "finished_at": None, "started_at": None}
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))
            connection.execute(insert(outbox).values(job_id=job_id, due=now(), owner=owner))
        return True


def bury(connection: Connection, job: Job, reason: Reason) -> None:
    """Record that a job which has just failed is a dead letter."""
    connection.execute(insert(dead_letters).values(job_id=job.id, owner=job.owner, reason=reason, at=now()))


def unfinished_by_owner(connection: Connection) -> Counter[str]:
    """The numbers of unfinished jobs."""
    rows = connection.execute(UNFINISHED)
    return Counter({row[0]: row[1] for row in rows})


def backlog(unfinished: Counter[str], owner: str, settings: Settings) -> Backlog | None:
    """Why this owner may have no further job for now, if so."""
    if unfinished.total() >= settings.backlog_limit:
        return Backlog("too many unfinished jobs")
    if unfinished[owner] >= settings.owner_backlog:
        return Backlog("too many unfinished jobs of this owner")
    return None
