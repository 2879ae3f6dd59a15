"""The job store records which jobs were accepted, published and done. Each method is one transaction."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import case, insert, literal, select, update
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnection

from system import rows
from system.database import Database
from system.dead_letters import DeadLetters, backlog, bury, unfinished_by_owner
from system.job import FINAL, Job, KeyReused, Reason, Refused, Request, Start, State, now
from system.retention import forget, forget_more
from system.settings import Settings
from system.tables import effects, jobs, outbox, seen
from system.ticks import claim_tick

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

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """The jobs that used up what they may."""
        return DeadLetters(self._database, self._settings)

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
            known = rows.by_key(connection, [key for request in requests if (key := request.own_key) is not None])
            unfinished = unfinished_by_owner(connection)
            at = now()
            for request in requests:
                key = request.own_key
                if key is not None and key in known:
                    fingerprint, job = known[key]
                    if fingerprint != request.fingerprint:
                        answers.append(KeyReused("this Idempotency-Key belongs to another request"))
                    else:
                        answers.append((job, False))
                    continue
                if (full := backlog(unfinished, request.owner, self._settings)) is not None:
                    answers.append(full)
                    continue
                unfinished[request.owner] += 1
                job = Job(request.id, request.task, request.args, State.PENDING, attempts=0, owner=request.owner)
                answers.append((job, True))
                if key is not None:
                    known[key] = request.fingerprint, job
                new.append(
                    {
                        "id": request.id, "key": key, "fingerprint": request.fingerprint, "task": request.task,
                        "args": list(request.args), "state": State.PENDING, "accepted_at": at, "owner": request.owner,
                    }
                )  # fmt: skip
            if new:
                # In one order for all processes: else two that wait for each other's keys are a deadlock.
                connection.execute(rows.NEW_JOB, sorted(new, key=lambda job: job["key"] or ""))
                lease = at + self._settings.publish_lease
                due = [lease if place < own else at for place in range(len(new))]
                entries = [
                    {"job_id": job["id"], "due": when, "owner": job["owner"]}
                    for job, when in zip(new, due, strict=True)
                ]
                connection.execute(rows.NEW_ENTRY, entries)
        return answers

    def job(self, job_id: str) -> Job | None:
        """The job with this id, if it was accepted here and is not past its retention."""
        if "\0" in job_id:
            return None  # PostgreSQL can't be asked
        with self._database.read() as connection:
            row = connection.execute(rows.JOB, {"job_id": job_id}).one_or_none()
            return None if row is None else rows.job_of(row)

    def watched(self, job_ids: Collection[str]) -> dict[str, Job]:
        """Those of these jobs that are known, by their ids, without their arguments, which may be long."""
        asked = sorted(job_id for job_id in job_ids if "\0" not in job_id)
        columns = [column for column in jobs.c if column.name != "args"]
        with self._database.read() as connection:
            found = connection.execute(select(*columns, literal("").label("args")).where(jobs.c.id.in_(asked))).all()
            return {row.id: rows.job_of(row) for row in found}

    def stats(self) -> dict[str, Any]:
        """Return the numbers of jobs by state and of unfinished jobs, the age of the oldest unfinished job, and how
        long ago each kind of process was active."""
        with self._database.read() as connection:
            return rows.stats(connection)

    def silences(self) -> dict[str, float]:
        """For how many seconds each kind of process has not told that it is alive (`saw`)."""
        with self._database.read() as connection:
            return rows.silences(connection)

    # --- methods for the processes that publish

    def any_due(self) -> bool:
        """Whether `claim` would find something: a look that takes no lock and writes nothing."""
        with self._database.read() as connection:
            return connection.execute(rows.ANY_DUE, {"at": now()}).first() is not None

    def claim(self, limit: int) -> list[Job]:
        """Take the lease on up to `limit` due outbox entries, the oldest first, and return their jobs. Two callers
        never get the same entry."""
        with self._database.write(synced=False) as connection:
            due = connection.execute(rows.DUE, {"at": now(), "limit": limit}).all()
            lease = now() + self._settings.publish_lease
            connection.execute(rows.CLAIMED, {"ids": [row.id for row in due], "until": lease})
            return [rows.job_of(row) for row in due]

    def published(self, sent: Mapping[str, float]) -> int:
        """The broker has the messages of these jobs, since these times. A job that does not start in time is due again,
        each time later. Returns how many of the jobs had been published before.

        All of them get the newest of the times. So a message that is lost is noticed only when all messages up to that
        time have left their queue.
        """
        noted: dict[str, Any] = {"ids": sorted(sent), "published": max(sent.values(), default=None)}
        noted |= {"now": now(), "patience": self._settings.queue_patience}
        with self._database.write(synced=False) as connection:
            return sum(times > 1 for times in connection.execute(rows.PUBLISHED, noted).scalars())

    def wait(self, job_ids: Collection[str]) -> None:
        """The messages of these jobs may wait in their queue. A job is due again when it has waited twice as long, but
        within 16 times `queue_patience`: what waits may get lost with its queue."""
        patience, at = self._settings.queue_patience, now()
        waited = at - outbox.c.published_at
        pause = case((waited < patience, patience), (waited > 16 * patience, 16 * patience), else_=waited)
        entries = outbox.c.job_id.in_(sorted(job_ids)), outbox.c.published_at.is_not(None)  # not taken meanwhile
        with self._database.write(synced=False) as connection:
            connection.execute(update(outbox).where(*entries).values(due=rows.later(at + pause)))

    # --- methods for workers

    def start(self, job_id: str, attempt: int) -> Start:
        """Record the start of an attempt, and return whether the worker may run it.

        The attempt may not run when the job is finished or a later attempt was published. A job whose process died in
        `max_starts` runs without progress is poison: it becomes a FAILURE and a dead letter. A run is counted when it
        begins, but not within `run_lease` of the start of the one that was counted last, unless that one is over.
        """
        with self._database.write() as connection:
            row = rows.row_of(connection, job_id)
            if row is None:
                return Start(run=True, job=None)
            if row.state in FINAL or attempt < row.attempts:
                return Start(run=False, job=rows.job_of(row))
            beside = row.started_at is not None and now() < row.started_at + self._settings.run_lease
            if row.starts >= self._settings.max_starts and not beside:
                error = {"type": "Poison", "message": f"started {row.starts} times without an end"}
                rows.end(connection, job_id, State.FAILURE, error=error)
                bury(connection, rows.job_of(row), Reason.POISON)
                return Start(run=False, job=rows.job_of(row))
            starts = row.starts + (not beside)
            # The time of the run that was counted stays: else starts that follow each other soon would never count.
            began = row.started_at if beside else now()
            rows.change(connection, job_id, state=State.STARTED, attempts=attempt, starts=starts, started_at=began)
            rows.taken(connection, job_id, now() + self._settings.run_lease)
            return Start(run=True, job=rows.job_of(row))

    def over(self, job_ids: Collection[str], *, excused: bool = False) -> None:
        """Record that runs have no end: their process died, or (`excused`) somebody told their worker to end. A run
        that is excused says nothing against its job, so it is no longer counted."""
        with self._database.write() as connection:
            rows.over(connection, job_ids, excused)

    def unknown(self, job_id: str) -> None:
        """Record that a process of an older or a newer release does not know the job's task.

        In a rolling deploy another process may know the task, so the job is published again, each time later. After
        `max_starts` records or starts without progress the job becomes a FAILURE and a dead letter.
        """
        with self._database.write() as connection:
            row = rows.row_of(connection, job_id)
            if row is None or row.state in FINAL:
                return
            if row.starts >= self._settings.max_starts:
                text = f"task {row.task} was unknown, or did not end, {row.starts} times"
                rows.end(connection, job_id, State.FAILURE, error={"type": "UnknownTask", "message": text})
                bury(connection, rows.job_of(row), Reason.UNKNOWN_TASK)
                return
            rows.change(connection, job_id, starts=row.starts + 1)
            rows.taken(connection, job_id, now() + self._settings.queue_patience * 2 ** min(row.starts, 4))

    def retry(self, job_id: str, attempt: int, countdown: float, at: float | None = None) -> bool:
        """Record that an attempt failed and that the next one comes after `countdown` seconds. Its message says that it
        was published `at` (default: now). If the attempt does not come, the relay publishes the job.

        Returns False when another delivery of the same attempt has already called `retry` or has ended the job.
        """
        at = now() if at is None else at
        with self._database.write() as connection:
            row = rows.row_of(connection, job_id)
            if row is None:
                return True
            if row.state in FINAL or row.attempts != attempt:
                return False
            rows.change(connection, job_id, state=State.RETRY, attempts=attempt + 1, starts=0, started_at=None)
            rows.sent(connection, job_id, at + countdown + self._settings.queue_patience, at)
            return True

    def finish(self, job_id: str, task: str, result: Any) -> bool:
        """Record the effect, its idempotency key and the end of the job in one transaction. Returns False when the job
        had ended before."""
        try:
            with self._database.write() as connection:
                row = rows.row_of(connection, job_id)
                if row is not None and row.state in FINAL:
                    return False
                rows.apply(connection, job_id, task)
                rows.end(connection, job_id, State.SUCCESS, result=result)
        except IntegrityError:
            return False
        return True

    def fail(self, job_id: str, attempt: int, error: Exception, reason: Reason | None = None) -> None:
        """End the job as a FAILURE, and as a dead letter when there is a reason. Another delivery may have ended the
        job or begun a later attempt before; then nothing is recorded."""
        with self._database.write() as connection:
            row = rows.row_of(connection, job_id)
            if row is None or row.state in FINAL or attempt < row.attempts:
                return
            text = {"type": type(error).__name__, "message": str(error)[:1_000]}
            rows.end(connection, job_id, State.FAILURE, error=text)
            if reason is not None:
                bury(connection, rows.job_of(row), reason)

    # --- methods for records of background tasks, processes and retention

    def note(self, key: str, name: str) -> None:
        """Record the effect of a background task, which belongs to no job."""
        with self._database.write() as connection:
            connection.execute(insert(effects).values(key=key, name=name, at=now()))

    def saw(self, name: str) -> None:
        """Record that the process `name` is alive now."""
        with self._database.write(synced=False) as connection:
            values = self._database.insert(seen).values(name=name, at=now())
            connection.execute(values.on_conflict_do_update(index_elements=[seen.c.name], set_={"at": now()}))

    def tick(self) -> bool:
        """Do the work of the schedule's oldest tick that is due: delete records whose retention time is over.

        Returns False when no tick is due, or when another process has just done the tick.
        """
        with self._database.write() as connection:
            due = claim_tick(connection, self._database.insert, self._settings)
            if due is None:
                return False
            connection.execute(insert(effects).values(key=f"tick@{due}", name="system.tick", at=now()))
            more = forget(connection, self._settings, due)
        if more:
            forget_more(self._database, self._settings, due)
        return True
