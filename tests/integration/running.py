"""A system of real processes, as the tests run it: one folder, one set of settings, one process for each part."""

import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from signal import SIGKILL
from typing import Any, Protocol, Self

import httpx
import psutil
import redis
from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from brownout.subject.ports import HOST, free_port
from brownout.subject.processes.process import Process
from brownout.subject.processes.supervisor import Supervisor, supervise
from brownout.subject.servers.redis_server import RedisServer
from brownout.subject.waiting import eventually
from system.celery_app import App, make_celery
from system.job import Job, Request
from system.publisher import send
from system.settings import Settings

ROOT = Path(__file__).parents[2]
SLACK = 15.0  # seconds that a busy machine may add to a bound that follows from the settings
ORDER = {"PENDING": 0, "STARTED": 1, "RETRY": 1, "SUCCESS": 2, "FAILURE": 2}
# How a transaction keeps all others from writing.
LOCK = {
    "sqlite": ["BEGIN IMMEDIATE"],
    "postgresql": ["BEGIN", "LOCK TABLE jobs, outbox, applied, effects, seen, ticks IN EXCLUSIVE MODE"],
}
# Neither does anything for these tests, and together they take a second of each worker's start.
QUIET = ("--without-gossip", "--without-mingle")


def settings(folder: Path, broker: str, results: str, **values: Any) -> Settings:
    """Settings at a tenth of the documents' seconds, whatever the environment says. `broker`, `results`: URLs."""
    given = {"pace": 0.1, "relay_interval": 0.1, "monitor_seconds": 0.2, "retry_after": 3, **values}
    names = {"broker_url": broker, "result_url": results, "database": folder / "system.db"}
    return Settings(_env_file=None, **{**names, **given})


def environment(values: Settings) -> dict[str, str]:
    """What hands these settings to a process."""
    given = {name: getattr(values, name) for name in Settings.model_fields}
    own = {f"SYSTEM_{name.upper()}": str(value) for name, value in given.items() if value is not None}
    own["SYSTEM_API_KEYS"] = json.dumps({name: key.get_secret_value() for name, key in values.api_keys.items()})
    return {**own, "C_FORCE_ROOT": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}


class Running:
    """The processes of one system. Start them all first, then wait for them: they start side by side."""

    def __init__(self, folder: Path, values: Settings, server: RedisServer) -> None:
        self.folder, self.settings, self.server = folder, values, server
        self.db = int((values.broker_url.path or "/0")[1:])
        self.parts: dict[str, Process | Supervisor] = {}
        self.port = free_port()
        self.http = httpx.Client(base_url=f"http://{HOST}:{self.port}", timeout=SLACK, trust_env=False)

    def start(self, name: str, argv: Iterable[str], *, supervised: bool = False, **env: str) -> Process | Supervisor:
        """Launch one part by its own command line, in the system's folder; it logs to `<name>.log`."""
        if name in self.parts:
            self.end(name)
        program, *arguments = argv
        command = [str(Path(sys.executable).with_name(program)), *arguments]
        log, given = self.log(name), {**environment(self.settings), **env}
        if supervised:
            self.parts[name] = supervise(name, command, log=log, env=given, cwd=self.folder, budget=50)
        else:
            self.parts[name] = Process.launch(name, command, log=log, env=given, cwd=self.folder)
        return self.parts[name]

    def api(self, *flags: str, **options: Any) -> Self:
        """Uvicorn, as the README starts it."""
        self.start("api", ["uvicorn", "system.main:app", "--host", HOST, "--port", str(self.port), *flags], **options)
        return self

    def worker(self, name: str, *flags: str, module: str = "system.worker", **options: Any) -> Self:
        """The worker's command line."""
        argv = ["celery", "-A", module, "worker", "-n", f"{name}@here", "--loglevel", "INFO", *QUIET, *flags]
        self.start(name, argv, **options)
        return self

    def relay(self, name: str = "relay", **options: Any) -> Self:
        """The relay's command line."""
        self.start(name, ["python", "-m", "system.relay"], **options)
        return self

    def process(self, name: str) -> Process:
        """The process that carries this part now."""
        part = self.parts[name]
        return part.current if isinstance(part, Supervisor) else part

    def log(self, name: str) -> Path:
        """Where a part logs."""
        return self.folder / f"{name}.log"

    def said(self, name: str, text: str) -> int:
        """How often a part has logged this."""
        path = self.log(name)
        return path.read_text(errors="replace").count(text) if path.exists() else 0

    def logged(self, name: str, text: str, times: int = 1) -> None:
        """Wait until a part has logged this, so many times and no more."""
        eventually(
            lambda: self.said(name, text) >= times,
            within=SLACK,
            every=0.03,
            what=f"{name} logs {text!r}",
            evidence=lambda: self.process(name).tail(),
        )
        assert self.said(name, text) == times

    def ready(self, *names: str) -> Self:
        """Wait until these parts (default: all) do their work, by what each shows of it."""
        for name in names or tuple(self.parts):
            kind = name.split("-")[0]
            check = {"api": self._answers, "worker": self._consumes, "relay": self._relays}[kind]
            eventually(
                lambda check=check, name=name: check(name),  # type: ignore[misc]
                within=2 * SLACK,
                every=0.03,
                what=f"{name} is ready",
                evidence=lambda name=name: self._evidence(name),  # type: ignore[misc]
                ignoring=(httpx.TransportError, redis.RedisError, SQLAlchemyError),
            )
        return self

    def _evidence(self, name: str) -> str:
        told = self.http.get("/health-check/ready").text if name == "api" and self.process(name).alive else ""
        return f"{told}\n{self.process(name).tail()}"

    def _answers(self, _name: str) -> bool:
        """Whether the store and the broker are up; some systems of the tests have no worker."""
        parts = self.http.get("/health-check/ready").json()["parts"]
        return (parts["store"], parts["broker"]) == ("up", "up")

    def _relays(self, name: str) -> bool:
        return self.said(name, "relay ready") > 0 and self.rows("select 1 from seen where name = 'relay'") != []

    def _consumes(self, name: str) -> bool:
        """It says so, and every worker of this system waits for messages: the banner comes before the first BRPOP."""
        if not self.said(name, f"{name}@here ready"):
            return False
        return self.waiting() >= sum(n.startswith("worker") and self.process(n).alive for n in self.parts)

    def waiting(self) -> int:
        """How many consumers are blocked in a BRPOP on this system's queues."""
        with self.server.client() as client:
            return sum(
                connection["cmd"] == "brpop" and "b" in connection["flags"] and connection["db"] == str(self.db)
                for connection in client.client_list()
            )

    # --- what a client does

    def submit(self, path: str, json: Any = None, **options: Any) -> str:
        """POST a job; it must be accepted. Answers its id."""
        answer = self.http.post(path, json=json, **options)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    def status(self, job: str) -> dict[str, Any]:
        """Read a job's status; it must be known."""
        answer = self.http.get(f"/task-status/{job}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def ended(self, job: str, within: float = 2 * SLACK) -> dict[str, Any]:
        """Wait until a job is final and answer its status; its states must never go backwards meanwhile."""
        seen: list[dict[str, Any]] = []

        def final() -> bool:
            seen.append(self.status(job))
            return seen[-1]["task_status"] in ("SUCCESS", "FAILURE")

        eventually(final, within=within, every=0.04, what=f"job {job} ends", evidence=lambda: str(seen[-1:]))
        steps = [(each["attempts"], ORDER[each["task_status"]]) for each in seen]
        assert [rank for _, rank in steps] == sorted(rank for _, rank in steps), seen
        assert [attempt for attempt, _ in steps] == sorted(attempt for attempt, _ in steps), seen
        return seen[-1]

    # --- the same without an API process

    @cached_property
    def app(self) -> App:
        """A Celery application of this system, in this process."""
        return make_celery(self.settings)

    def enqueue(self, task: str, *args: Any) -> str:
        """Accept a job and publish it, as the API does. Answers its id."""
        job, _ = self.app.store.accept(Request(task, args))
        self.publish(job)
        return job.id

    def publish(self, job: Job) -> None:
        """Send a job's message and note it, as a publisher does."""
        self.app.store.published({job.id: send(self.app, job)})

    def job_ended(self, job_id: str, within: float = 2 * SLACK) -> Job:
        """Wait until a job is final."""

        def job() -> Job:
            found = self.app.store.job(job_id)
            assert found is not None
            return found

        eventually(lambda: job().finished, within=within, every=0.04, what=f"job {job_id} ends")
        return job()

    # --- what an observer sees, past the API

    def rows(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        """Read the store's database; `?` stands for an argument."""
        if self.settings.database_url is None and not self.settings.database.exists():
            return []
        with self._observer.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(self._style(query), args)]

    def _style(self, query: str) -> str:
        return query if self.settings.database_url is None else query.replace("?", "%s")

    @cached_property
    def _observer(self) -> Engine:
        return create_engine(self.settings.store_url, poolclass=NullPool)

    @contextmanager
    def store_locked(self) -> Iterator[Callable[[], None]]:
        """Nobody writes into the store within the block, or until what it gives is called; who reads does not wait."""
        with self._observer.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in LOCK[connection.dialect.name]:
                connection.exec_driver_sql(statement)
            yield lambda: connection.exec_driver_sql("ROLLBACK").close()

    @contextmanager
    def frozen(self, name: str) -> Iterator[Callable[[], None]]:
        """SIGSTOP a process within the block, or until what it gives is called. The process is stopped outside of its
        transactions: SQLite's write lock would be stopped with it."""
        process = psutil.Process(self.process(name).pid)

        def stopped() -> bool:
            process.suspend()
            eventually(lambda: process.status() == psutil.STATUS_STOPPED, within=SLACK, what=f"{name} is stopped")
            if self.settings.database_url is not None:
                return True  # other processes lock other rows
            try:
                with closing(sqlite3.connect(self.settings.database, timeout=0.1, isolation_level=None)) as store:
                    store.execute("BEGIN IMMEDIATE").execute("ROLLBACK")
                    return True
            except sqlite3.OperationalError:
                process.resume()
                return False

        eventually(stopped, within=SLACK, what=f"{name} is stopped outside of a transaction")
        try:
            yield process.resume
        finally:
            process.resume()

    def effects(self) -> Counter[str]:
        """How many effects each key has."""
        return Counter(dict(self.rows("select key, count(*) from effects group by key")))

    def end(self, name: str) -> None:
        """Kill a part, with all that it started."""
        part = self.parts.pop(name)
        part.stop(SIGKILL) if isinstance(part, Supervisor) else part.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        if "app" in vars(self):
            self.app.close()
            self.app.store.close()
        for name in list(self.parts):
            self.end(name)


class NewSystem(Protocol):
    """Makes a system with Redis databases and a folder of its own."""

    def __call__(self, name: str, **values: Any) -> Running: ...
