"""The system's settings, read from the variables `SYSTEM_*` in the environment or in the file `.env`."""

import math
from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, HttpUrl, PostgresDsn, RedisDsn, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL, make_url

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
OwnerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
ApiKey = Annotated[SecretStr, Field(min_length=16)]


class Settings(BaseSettings):
    """Immutable settings; times are in seconds. A wrong value raises an error that names the variable.

    URLs are left out of `repr`, because a URL may contain a password.
    """

    model_config = SettingsConfigDict(
        env_prefix="SYSTEM_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    app_name: str = "FastAPI with Celery"
    # Broker and result backend use two Redis databases, so that deleting all results does not delete the queues.
    broker_url: RedisDsn = Field(RedisDsn("redis://127.0.0.1:6379/0"), repr=False)
    result_url: RedisDsn = Field(RedisDsn("redis://127.0.0.1:6379/1"), repr=False)
    database: Path = Field(Path("system.db"), description="the job store's SQLite file, without a database_url")
    database_url: PostgresDsn | None = Field(None, repr=False, description="the job store's PostgreSQL")
    service_url: HttpUrl = Field(HttpUrl("http://127.0.0.1:9000/deliveries"), repr=False)

    api_keys: dict[OwnerName, ApiKey] = Field({}, description="owner's name -> key; without keys all is one owner's")

    pace: float = Field(1.0, ge=0, le=10, description="factor for the seconds of pretended work of the example tasks")
    tick_seconds: Seconds = Field(60.0, description="period of the schedule whose ticks beat announces")
    tick_catch_up: int = Field(10, ge=0, description="missed ticks that are done later; older ones are skipped")
    retention: Seconds = Field(86_400.0, description="time for which the job store keeps a finished job")
    dead_letter_retention: Seconds = Field(30 * 86_400.0, description="time for which the job store keeps a dead job")

    body_limit: int = Field(65_536, gt=0, description="largest request body, bytes")
    backlog_limit: int = Field(1_000, gt=0, description="unfinished jobs above which the API answers 503")
    listener_limit: int = Field(10_000, gt=0, description="streams and WebSockets of one process")
    rate_limit: Seconds = Field(1_000.0, description="submissions a second of one owner to one process; above: 429")
    retry_after: int = Field(5, gt=0, description="value of the header Retry-After")

    broker_timeout: Seconds = Field(2.0, description="time-out of each socket operation with Redis")
    monitor_seconds: Seconds = Field(1.0, description="period of the readiness probe of the broker")
    visibility_timeout: int = Field(120, gt=0, description="an unacked message older than this is delivered again")

    soft_time_limit: Seconds = Field(25.0, description="run time after which a task is asked to end")
    time_limit: Seconds = Field(30.0, description="run time after which a task is killed")
    max_retries: int = Field(
        5, ge=0, description="retries of a delivery to the outside service after the first attempt"
    )
    backoff_max: int = Field(20, gt=0, description="longest countdown between two attempts")
    max_starts: int = Field(10, gt=0, description="runs without any progress after which a job becomes a FAILURE")

    publish_lease: Seconds = Field(2.0, description="time for which a publisher owns an outbox entry")
    queue_patience: Seconds = Field(15.0, description="then a job that neither started nor waits is published again")
    relay_interval: Seconds = Field(0.03, description="pause of the relay when nothing is due")
    worker_patience: Seconds = Field(5.0, description="silence of all workers after which the API is not ready")
    log_json: bool = Field(False, description="log lines are JSON, each with the id of its job")
    metrics_host: str = Field("127.0.0.1", description="address of the metrics of the relay and of a worker")
    metrics_port: int | None = Field(None, gt=0, le=65_535, description="their port; the API has the route /metrics")
    traces_url: HttpUrl | None = Field(None, repr=False, description="collector of traces (OTLP over HTTP)")

    wedge_seconds: int = Field(10, gt=0, description="a worker that leaves a queue untouched for so long ends")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({key.get_secret_value() for key in self.api_keys.values()}) < len(self.api_keys):
            raise ValueError("api_keys: two owners have the same key")
        if self.soft_time_limit >= self.time_limit:
            raise ValueError("soft_time_limit must be below time_limit: the task needs time to end by itself")
        if self.visibility_timeout <= self.time_limit + self.backoff_max:
            raise ValueError(
                "visibility_timeout must exceed time_limit + backoff_max: "
                "a countdown and a run that take longer are delivered twice (Celery, Redis caveats)"
            )
        if self.retention <= self.visibility_timeout + self.run_lease:
            raise ValueError(
                "retention must exceed visibility_timeout + time_limit + 5 s: "
                "a message that is delivered again would find its job forgotten, and take effect twice"
            )
        return self

    @property
    def store_url(self) -> URL:
        """Where the job store is, for SQLAlchemy."""
        if self.database_url is None:
            return URL.create("sqlite", database=str(self.database))
        return make_url(str(self.database_url)).set(drivername="postgresql+psycopg")

    @property
    def owner_backlog(self) -> int:
        """The unfinished jobs above which the API answers 503 to one owner: an equal share for each."""
        return max(1, self.backlog_limit // max(1, len(self.api_keys)))

    @property
    def mutex_expire(self) -> int:
        """The seconds after which the lock of kombu's sweep for unacked messages expires; a sweep takes a few
        operations of Redis."""
        return math.ceil(2 * self.broker_timeout)

    @property
    def run_lease(self) -> float:
        """The longest time (s) between the start of a task and its end: the hard time limit plus the pool's timers."""
        return self.time_limit + 5.0


@cache
def get_settings() -> Settings:
    """Return the settings of this process, which are read once."""
    return Settings()
