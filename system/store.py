"""The job store records which jobs were accepted, published and done. Each method is one transaction."""

from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import IntegrityError

from system.database import Database
from system.job import FINAL, Backlog, Job, KeyReused, Request, Start, State, now
from system.settings import Settings
from system.tables import applied, effects, jobs, outbox, seen


class Store:
    """The jobs in one database. Methods raise `sqlalchemy.exc.OperationalError` when the database can't be used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings.database)

    def create(self) -> None:
        """Create the missing tables."""
        self._database.create()

    # --- methods for the API

    def accept(self, request: Request) -> tuple[Job, bool]:
        """Record a job and its outbox entry. Return the job, and whether the job is new.

        The caller owns the job's outbox entry for `publish_lease` seconds. Raises `KeyReused` and `Backlog`.
        """
        with self._database.write() as connection:
            if request.key is not None:
                row = connection.execute(select(jobs).where(jobs.c.key == request.key)).one_or_none()
                if row is not None:
                    if row.fingerprint != request.fingerprint:
                        raise KeyReused("this Idempotency-Key belongs to another request")
                    return _job(row), False
            if self._unfinished(connection) >= self._settings.backlog_limit:
                raise Backlog("too many unfinished jobs")
            at = now()
            connection.execute(
                insert(jobs).values(
                    id=request.id, key=request.key, fingerprint=request.fingerprint, task=request.task,
                    args=list(request.args), state=State.PENDING, accepted_at=at,
                )
            )  # fmt: skip
            connection.execute(insert(outbox).values(job_id=request.id, due=at + self._settings.publish_lease))
            return Job(request.id, request.task, request.args, State.PENDING, attempts=0), True

    def job(self, job_id: str) -> Job | None:
        """Return the job with this id; None when no job has this id or the job's retention time is over."""
        with self._database.read() as connection:
            row = _row(connection, job_id)
            return None if row is None else _job(row)

    def stats(self) -> dict[str, Any]:
        """Return the numbers of jobs by state and of unfinished jobs, the age of the oldest unfinished job, and how
        long ago the relay and beat were active."""
        with self._database.read() as connection:
            states = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state)).all()
            oldest = connection.execute(
                select(func.min(jobs.c.accepted_at)).where(jobs.c.finished_at.is_(None))
            ).scalar_one()
            at = {row.name: row.at for row in connection.execute(select(seen)).all()}
            return {
                "jobs": {row[0]: row[1] for row in states},
                "unfinished": self._unfinished(connection),
                "oldest_unfinished_seconds": None if oldest is None else max(0.0, now() - oldest),
                "seconds_since": {name: max(0.0, now() - when) for name, when in at.items() if "@" not in name},
                "effects": connection.execute(select(func.count()).select_from(effects)).scalar_one(),
            }

    # --- methods for the processes that publish

    def claim(self, limit: int) -> list[Job]:
        """Take the lease on up to `limit` due outbox entries, the oldest first, and return their jobs. Two callers
        never get the same entry."""
        with self._database.write() as connection:
            rows = connection.execute(
                select(jobs).join(outbox).where(outbox.c.due <= now()).order_by(outbox.c.due).limit(limit)
            ).all()
            lease = now() + self._settings.publish_lease
            connection.execute(update(outbox).where(outbox.c.job_id.in_([row.id for row in rows])).values(due=lease))
            return [_job(row) for row in rows]

    def published(self, job_id: str) -> None:
        """Record that the broker has the job's message. If the job does not start in time, the job is due to be
        published again, after a longer time with each publish."""
        entry = outbox.c.job_id == job_id
        with self._database.write() as connection:
            publishes = connection.execute(select(outbox.c.publishes).where(entry)).scalar_one_or_none()
            if publishes is not None:  # None means that the job has finished meanwhile
                due = now() + self._settings.queue_patience * 2 ** min(publishes, 4)
                _extend(connection, job_id, due, publishes=publishes + 1)

    # --- methods for workers

    def start(self, job_id: str, attempt: int) -> Start:
        """Record the start of an attempt, and return whether the worker may run it.

        The attempt may not run when the job is finished or a later attempt was published. A job that was started
        `max_starts` times without progress may kill its workers, so it becomes a FAILURE.
        """
        with self._database.write() as connection:
            row = _row(connection, job_id)
            if row is None:
                return Start(run=True, job=None)
            if row.state in FINAL or attempt < row.attempts:
                return Start(run=False, job=_job(row))
            if row.starts >= self._settings.max_starts:
                error = {"type": "Poison", "message": f"started {row.starts} times without an end"}
                _end(connection, job_id, State.FAILURE, error=error)
                return Start(run=False, job=_job(row))
            values = {"state": State.STARTED, "attempts": attempt, "starts": row.starts + 1}
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))
            _extend(connection, job_id, now() + self._settings.run_lease)
            return Start(run=True, job=_job(row))

    def retry(self, job_id: str, attempt: int, countdown: float) -> bool:
        """Record that an attempt failed and that the next attempt comes after `countdown` seconds; if the next attempt
        does not come, the relay publishes the job.

        Returns False when another delivery of the same attempt has already called `retry` or has ended the job.
        """
        with self._database.write() as connection:
            row = _row(connection, job_id)
            if row is None:
                return True
            if row.state in FINAL or row.attempts != attempt:
                return False
            values = {"state": State.RETRY, "attempts": attempt + 1, "starts": 0}
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))
            due = now() + countdown + self._settings.queue_patience
            connection.execute(update(outbox).where(outbox.c.job_id == job_id).values(due=due))
            return True

    def finish(self, job_id: str, task: str, result: Any) -> bool:
        """Record the effect, its idempotency key and the end of the job in one transaction. Returns False when the job
        had ended before."""
        try:
            with self._database.write() as connection:
                row = _row(connection, job_id)
                if row is not None and row.state in FINAL:
                    return False
                connection.execute(insert(applied).values(key=job_id, at=now()))
                connection.execute(insert(effects).values(key=job_id, name=task, at=now()))
                _end(connection, job_id, State.SUCCESS, result=result)
        except IntegrityError:
            return False
        return True

    def fail(self, job_id: str, error: Exception) -> None:
        """End the job as a FAILURE, unless another delivery has ended the job before."""
        with self._database.write() as connection:
            text = {"type": type(error).__name__, "message": str(error)[:1_000]}
            _end(connection, job_id, State.FAILURE, error=text)

    # --- methods for records of background tasks, processes and retention

    def note(self, key: str, name: str) -> None:
        """Record the effect of a background task, which belongs to no job."""
        with self._database.write() as connection:
            connection.execute(insert(effects).values(key=key, name=name, at=now()))

    def saw(self, name: str) -> None:
        """Record that the process `name` is alive now."""
        with self._database.write() as connection:
            values = upsert(seen).values(name=name, at=now())
            connection.execute(values.on_conflict_do_update(index_elements=[seen.c.name], set_={"at": now()}))

    def tick(self, slot: int) -> bool:
        """Delete jobs and effects whose retention time is over. The work is done once for each period `slot`, however
        often beat sends the task."""
        old = now() - self._settings.retention
        with self._database.write() as connection:
            new = upsert(seen).values(name=f"tick@{slot}", at=now()).on_conflict_do_nothing()
            if connection.execute(new).rowcount == 0:
                return False
            connection.execute(insert(effects).values(key=f"tick@{slot}", name="system.tick", at=now()))
            connection.execute(delete(jobs).where(jobs.c.finished_at < old))
            for table in (applied, effects, seen):
                connection.execute(delete(table).where(table.c.at < old))
            return True

    @staticmethod
    def _unfinished(connection: Connection) -> int:
        return connection.execute(select(func.count()).select_from(outbox)).scalar_one()


def _row(connection: Connection, job_id: str) -> Row[Any] | None:
    return connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()


def _job(row: Row[Any]) -> Job:
    return Job(row.id, row.task, tuple(row.args), State(row.state), row.attempts, row.result, row.error)


def _extend(connection: Connection, job_id: str, due: float, **values: int) -> None:
    # A lease never becomes shorter: a publisher that reports late must not shorten the lease of a worker that has
    # begun.
    later = func.max(outbox.c.due, due)
    connection.execute(update(outbox).where(outbox.c.job_id == job_id).values(due=later, **values))


def _end(connection: Connection, job_id: str, state: State, **values: Any) -> None:
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state.not_in(FINAL))
        .values(state=state, finished_at=now(), **values)
    )
    connection.execute(delete(outbox).where(outbox.c.job_id == job_id))
