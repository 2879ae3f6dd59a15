"""The job store's tables. Who changes them adds a migration: `alembic revision --autogenerate`."""

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),  # the job's id is also the id of its Celery task
    # The client's header Idempotency-Key; with the owner's name before it, where the owner has an API key
    Column("key", String, unique=True),
    Column("owner", String, nullable=False, server_default="local"),
    # Shows whether a second request with the same key is equal to the first
    Column("fingerprint", String, nullable=False),
    Column("task", String, nullable=False),
    Column("args", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("result", JSON),
    Column("error", JSON),
    # The number of the present attempt: 1 + the number of retries
    Column("attempts", Integer, nullable=False, default=0),
    # The number of attempts before the job was last re-driven from its dead letter
    Column("attempts_before", Integer, nullable=False, server_default="0"),
    # Runs since the last progress that may have killed their process; too many of them make the job a FAILURE
    Column("starts", Integer, nullable=False, default=0),
    # When the newest run that was counted began; empty when none did, or when that run is known to be over
    Column("started_at", Float),
    Column("accepted_at", Float, nullable=False),
    Column("finished_at", Float),
    Index("jobs_by_state", "state"),
    Index("jobs_by_finish", "finished_at"),
)

# The outbox has one row for each unfinished job. `due` is the end of a lease: until then the process that published or
# started the job must make progress, and after that the relay may publish the job again.
outbox = Table(
    "outbox",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("due", Float, nullable=False, index=True),
    Column("publishes", Integer, nullable=False, default=0),
    # When the newest message was published, or a little later: messages that are noted together have the time of the
    # newest. Empty when a worker has taken the message, unless its publish was noted after that.
    Column("published_at", Float),
    Column("owner", String, nullable=False, server_default="local"),
)

# The jobs that failed because they used up what they may: retries, starts, or deliveries to workers that do not know
# their task. A page of dead letters begins after an `id`.
dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, unique=True),
    Column("owner", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("at", Float, nullable=False, index=True),
    Index("dead_letters_by_owner", "owner", "id"),
    sqlite_autoincrement=True,  # else the next dead letter gets the id of the newest one that is gone
)

# The idempotency keys of effects are in a table of their own, so that the table of effects would show a second effect
# if this guard failed.
applied = Table(
    "applied",
    metadata,
    Column("key", String, primary_key=True),
    Column("at", Float, nullable=False, index=True),
)

effects = Table(
    "effects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String, nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("at", Float, nullable=False, index=True),
)

# The times at which the relay and a worker were last active. The release before had its ticks here, as "tick@...".
seen = Table("seen", metadata, Column("name", String, primary_key=True), Column("at", Float, nullable=False))
CONSUMING, SILENT = "worker", "silent worker"  # names of workers that take messages, and that do not

# The ticks of the schedule. `due` is the time for which the schedule had the tick; `at` is the time of the record.
ticks = Table(
    "ticks",
    metadata,
    Column("due", Float, primary_key=True),
    Column("skipped", Boolean, nullable=False),
    Column("at", Float, nullable=False),
)
