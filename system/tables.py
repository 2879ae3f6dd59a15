"""The job store's tables."""

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),  # also the Celery task id: one name on every hop
    Column("key", String, unique=True),  # the client's Idempotency-Key
    Column("fingerprint", String, nullable=False),  # tells a repeated request from another one with the same key
    Column("task", String, nullable=False),
    Column("args", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("result", JSON),
    Column("error", JSON),
    Column("attempts", Integer, nullable=False, default=0),  # 1 + retries so far
    Column("starts", Integer, nullable=False, default=0),  # starts since the last progress: the poison counter
    Column("accepted_at", Float, nullable=False),
    Column("finished_at", Float),
    Index("jobs_by_state", "state"),
    Index("jobs_by_finish", "finished_at"),
)

# One row for each unfinished job. `due` is both the row's lease and its deadline: whoever published or started the
# job has until then to make progress, after that the relay may publish it again.
outbox = Table(
    "outbox",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("due", Float, nullable=False, index=True),
    Column("publishes", Integer, nullable=False, default=0),
)

# The idempotency keys of effects, apart from the effects: were the guard missing, the effects would show it.
applied = Table("applied", metadata, Column("key", String, primary_key=True), Column("at", Float, nullable=False))

effects = Table(
    "effects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String, nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("at", Float, nullable=False),
)

# When a process or a period was last seen: the relay, and each tick of beat.
seen = Table("seen", metadata, Column("name", String, primary_key=True), Column("at", Float, nullable=False))
