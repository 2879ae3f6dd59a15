"""What several transactions of the job store do with the rows of a job."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Case, Connection, Float, Integer, Row, bindparam, case, delete, func, insert, select, update

from system.dead_letters import unfinished_by_owner
from system.job import Job, State, now
from system.tables import applied, dead_letters, effects, jobs, outbox, seen


def later(due: Any) -> Case[float]:
    """`due`, or what was there before if that is later: a publisher that reports late must not cut short the lease of
    a worker that has begun."""
    return case((outbox.c.due > due, outbox.c.due), else_=due)


# Statements that each job needs are made once: to make one takes longer than to execute it, and on SQLite all other
# processes wait meanwhile.
JOB = select(jobs).where(jobs.c.id == bindparam("job_id"))
LOCKED = JOB.with_for_update()
CHANGE = update(jobs).where(jobs.c.id == bindparam("job_id"))
ENTRY = update(outbox).where(outbox.c.job_id == bindparam("of"))
TAKEN = ENTRY.values(due=later(bindparam("until")), published_at=None)
ENDED = delete(outbox).where(outbox.c.job_id == bindparam("of"))
KEY, EFFECT = insert(applied), insert(effects)
NEW_JOB, NEW_ENTRY = insert(jobs), insert(outbox)
WITH_KEYS = select(jobs).where(jobs.c.key.in_(bindparam("keys", expanding=True)))
ANY_DUE = select(outbox.c.job_id).where(outbox.c.due <= bindparam("at")).limit(1)
# The jobs whose outbox entries are due, oldest first, without those that another relay is about to claim
DUE = select(jobs, outbox.c.published_at).join(outbox).where(outbox.c.due <= bindparam("at")).order_by(outbox.c.due)
DUE = DUE.limit(bindparam("limit", type_=Integer)).with_for_update(of=outbox, skip_locked=True)
ENTRIES = update(outbox).where(outbox.c.job_id.in_(bindparam("ids", expanding=True)))
CLAIMED = ENTRIES.values(due=bindparam("until"))
# A job that makes no progress is published again, each time later
PATIENCE = bindparam("patience", type_=Float) * case({0: 1, 1: 2, 2: 4, 3: 8}, value=outbox.c.publishes, else_=16)
PUBLISHED = ENTRIES.values(
    due=later(bindparam("now", type_=Float) + PATIENCE),
    publishes=outbox.c.publishes + 1,
    published_at=bindparam("published"),
).returning(outbox.c.publishes)


def row_of(connection: Connection, job_id: str) -> Row[Any] | None:
    """The row of a job that this transaction will change; two deliveries of one job take turns here on PostgreSQL."""
    return connection.execute(LOCKED, {"job_id": job_id}).one_or_none()


def by_key(connection: Connection, keys: Collection[str]) -> dict[str, tuple[str, Job]]:
    """Fingerprint and job of each of these idempotency keys that is known."""
    if not keys:
        return {}
    rows = connection.execute(WITH_KEYS, {"keys": list(keys)})
    return {row.key: (row.fingerprint, job_of(row)) for row in rows}


def job_of(row: Any) -> Job:
    """The job in a row."""
    state, args, published_at = State(row.state), tuple(row.args), getattr(row, "published_at", None)
    known = row.result, row.error, row.owner, row.attempts_before
    return Job(row.id, row.task, args, state, row.attempts, *known, published_at)


def change(connection: Connection, job_id: str, **values: Any) -> None:
    """Write these columns of a job."""
    connection.execute(CHANGE, {"job_id": job_id, **values})


def taken(connection: Connection, job_id: str, until: float) -> None:
    """A worker has taken the job's message, so that none waits. The job is not due before `until`."""
    connection.execute(TAKEN, {"of": job_id, "until": until})


def sent(connection: Connection, job_id: str, due: float, published_at: float) -> None:
    """The message of the job's next attempt was published. The job is due again at `due`."""
    connection.execute(ENTRY, {"of": job_id, "due": due, "published_at": published_at})


def apply(connection: Connection, key: str, name: str) -> None:
    """Record an effect and its idempotency key. Raises `IntegrityError` when the key is known."""
    connection.execute(KEY, {"key": key, "at": now()})
    connection.execute(EFFECT, {"key": key, "name": name, "at": now()})


def end(connection: Connection, job_id: str, state: State, **values: Any) -> None:
    """Make the state of an unfinished job final."""
    change(connection, job_id, state=state, finished_at=now(), **values)
    connection.execute(ENDED, {"of": job_id})


def over(connection: Connection, job_ids: Collection[str], excused: bool) -> None:
    """The newest counted runs of these jobs are over; such a run that is `excused` is not counted.

    A run may have been excused before its process was known to be dead, and a run that began beside another one was not
    counted. The death of their process counts.
    """
    counted = jobs.c.started_at.is_not(None)
    starts = case((counted, jobs.c.starts - 1) if excused else (~counted, jobs.c.starts + 1), else_=jobs.c.starts)
    started = jobs.c.id.in_(sorted(job_ids)), jobs.c.state == State.STARTED
    connection.execute(update(jobs).where(*started).values(started_at=None, starts=starts))


def stats(connection: Connection) -> dict[str, Any]:
    """The numbers of jobs by state and of unfinished jobs, the age of the oldest unfinished job, and how long ago each
    kind of process was active."""
    states = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state)).all()
    oldest = connection.scalar(select(func.min(jobs.c.accepted_at)).select_from(outbox.join(jobs)))
    return {
        "jobs": {row[0]: row[1] for row in states},
        "unfinished": unfinished_by_owner(connection).total(),
        "dead_letters": connection.execute(select(func.count()).select_from(dead_letters)).scalar_one(),
        "oldest_unfinished_seconds": None if oldest is None else max(0.0, now() - oldest),
        "seconds_since": silences(connection),
        "effects": connection.execute(select(func.count()).select_from(effects)).scalar_one(),
    }


def silences(connection: Connection) -> dict[str, float]:
    """For how many seconds each kind of process has not told that it is alive (`Store.saw`)."""
    return {at.name: max(0.0, now() - at.at) for at in connection.execute(select(seen)) if "@" not in at.name}
