"""The job store records which jobs were accepted, published and done. Each method is one transaction."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Case, Connection, Row, Select, case, delete, func, insert, select, update
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnection

from system.database import Database
from system.job import FINAL, Backlog, Job, KeyReused, Refused, Request, Start, State, now
from system.settings import Settings
from system.tables import applied, effects, jobs, outbox, seen

#: The database can't be used: locked, gone, full, damaged, or out of connections.
Unusable = (DatabaseError, NoConnection)
RACES = 5  # attempts of a transaction that loses races for keys with other processes; one is rare
Answer = tuple[Job, bool] | Refused


class Store:
    """The jobs of one database. Raises one of `Unusable` when the database can't be used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings.store_url)

    def create(self) -> None:
        """Bring the tables up to date."""
        self._database.create()

    def close(self) -> None:
        """Close the connections that are kept."""
        self._database.close()

    # --- the API's side

    def accept(self, request: Request) -> tuple[Job, bool]:
        """Record a job and its outbox entry. Return the job, and whether the job is new.

        The caller owns the job's outbox entry for `publish_lease` seconds. Raises `KeyReused` and `Backlog`.
        """
        (answer,) = self.accept_all([request])
        if isinstance(answer, Refused):
            raise answer
        return answer

    def accept_all(self, requests: Sequence[Request], own: int = 1) -> list[Answer]:
        """`accept` for requests that come together, in one transaction; one answer for each, in order.

        The caller owns the entries of the first `own` new jobs. The others are due at once, for the relay.
        """
        for _ in range(RACES - 1):
            try:
                return self._accept_all(requests, own)
            except IntegrityError:  # PostgreSQL: another process has committed one of the keys meanwhile
                continue
        return self._accept_all(requests, own)

    def _accept_all(self, requests: Sequence[Request], own: int) -> list[Answer]:
        answers: list[Answer] = []
        new: list[dict[str, Any]] = []
        with self._database.write() as connection:
            known = _by_key(connection, [request.key for request in requests if request.key is not None])
            room = self._settings.backlog_limit - self._unfinished(connection)
            at = now()
            for request in requests:
                if request.key is not None and request.key in known:
                    fingerprint, job = known[request.key]
                    if fingerprint != request.fingerprint:
                        answers.append(KeyReused("this Idempotency-Key belongs to another request"))
                    else:
                        answers.append((job, False))
                    continue
                if len(new) >= room:
                    answers.append(Backlog("too many unfinished jobs"))
                    continue
                job = Job(request.id, request.task, request.args, State.PENDING, attempts=0)
                answers.append((job, True))
                if request.key is not None:
                    known[request.key] = request.fingerprint, job
                new.append(
                    {
                        "id": request.id, "key": request.key, "fingerprint": request.fingerprint, "task": request.task,
                        "args": list(request.args), "state": State.PENDING, "accepted_at": at,
                    }
                )  # fmt: skip
            if new:
                connection.execute(insert(jobs), new)
                lease = at + self._settings.publish_lease
                due = [lease if place < own else at for place in range(len(new))]
                entries = [{"job_id": job["id"], "due": when} for job, when in zip(new, due, strict=True)]
                connection.execute(insert(outbox), entries)
        return answers

    def job(self, job_id: str) -> Job | None:
        """The job with this id, if it was accepted here and is not past its retention."""
        if "\0" in job_id:
            return None  # PostgreSQL can't be asked
        with self._database.read() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
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

    def any_due(self) -> bool:
        """Whether `claim` would find something: a look that takes no lock and writes nothing."""
        with self._database.read() as connection:
            return connection.execute(select(outbox.c.job_id).where(outbox.c.due <= now()).limit(1)).first() is not None

    def claim(self, limit: int) -> list[Job]:
        """Take the lease on up to `limit` due outbox entries, the oldest first, and return their jobs. Two callers
        never get the same entry."""
        with self._database.write() as connection:
            rows = connection.execute(due_jobs(now(), limit)).all()
            lease = now() + self._settings.publish_lease
            connection.execute(update(outbox).where(outbox.c.job_id.in_([row.id for row in rows])).values(due=lease))
            return [_job(row) for row in rows]

    def published(self, job_ids: Collection[str]) -> None:
        """The broker has the messages. A job that does not start in time is due again, each time later."""
        entries = outbox.c.job_id.in_(sorted(job_ids))  # those of finished jobs are gone
        times = case({0: 1, 1: 2, 2: 4, 3: 8}, value=outbox.c.publishes, else_=16)
        due = _later(now() + self._settings.queue_patience * times)
        with self._database.write() as connection:
            connection.execute(update(outbox).where(entries).values(due=due, publishes=outbox.c.publishes + 1))

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
            lease = _later(now() + self._settings.run_lease)
            connection.execute(update(outbox).where(outbox.c.job_id == job_id).values(due=lease))
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
            values = self._database.insert(seen).values(name=name, at=now())
            connection.execute(values.on_conflict_do_update(index_elements=[seen.c.name], set_={"at": now()}))

    def tick(self, slot: int) -> bool:
        """Delete jobs and effects whose retention time is over. The work is done once for each period `slot`, however
        often beat sends the task."""
        old = now() - self._settings.retention
        with self._database.write() as connection:
            new = self._database.insert(seen).values(name=f"tick@{slot}", at=now()).on_conflict_do_nothing()
            if connection.execute(new.returning(seen.c.name)).first() is None:
                return False
            connection.execute(insert(effects).values(key=f"tick@{slot}", name="system.tick", at=now()))
            connection.execute(delete(jobs).where(jobs.c.finished_at < old))
            for table in (applied, effects, seen):
                connection.execute(delete(table).where(table.c.at < old))
            return True

    def _unfinished(self, connection: Connection) -> int:
        return connection.execute(select(func.count()).select_from(outbox)).scalar_one()


def due_jobs(at: float, limit: int) -> Select[Any]:
    """The jobs whose outbox entries are due, oldest first, without those that another relay is about to claim."""
    due = select(jobs).join(outbox).where(outbox.c.due <= at).order_by(outbox.c.due).limit(limit)
    return due.with_for_update(of=outbox, skip_locked=True)


def _row(connection: Connection, job_id: str) -> Row[Any] | None:
    # Two deliveries of one job take turns here on PostgreSQL; on SQLite all transactions that write do.
    return connection.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).one_or_none()


def _by_key(connection: Connection, keys: Collection[str]) -> dict[str, tuple[str, Job]]:
    """Fingerprint and job of each of these idempotency keys that is known."""
    if not keys:
        return {}
    rows = connection.execute(select(jobs).where(jobs.c.key.in_(keys)))
    return {row.key: (row.fingerprint, _job(row)) for row in rows}


def _job(row: Row[Any]) -> Job:
    return Job(row.id, row.task, tuple(row.args), State(row.state), row.attempts, row.result, row.error)


def _later(due: Any) -> Case[float]:
    # Never sooner: a publisher that reports late must not cut short the lease of a worker that has begun.
    return case((outbox.c.due > due, outbox.c.due), else_=due)


def _end(connection: Connection, job_id: str, state: State, **values: Any) -> None:
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state.not_in(FINAL))
        .values(state=state, finished_at=now(), **values)
    )
    connection.execute(delete(outbox).where(outbox.c.job_id == job_id))
