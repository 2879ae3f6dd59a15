"""Jobs a second from the request to the end, beside plain Celery's, and the time from the answer 202 to a job's start.

    python -m benchmarks.jobs [--rounds 3] [--seconds 2] [--clients 16] [--processes 2] [--single 100]
        [--no-postgres]

Subjects are those of `benchmarks.submissions`, each with one worker, and with tasks that do no work:
plain Celery has late acks and results in Redis. After a warm-up the clients submit for `--seconds`. The rate is that of
all these jobs, from the first request to the last end. Then one client submits `--single` jobs, each when the one
before it has ended, and the store says when each was started.
"""

# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx
import redis
from sqlalchemy import Engine, create_engine, text

from benchmarks.scale import consumers
from benchmarks.submissions import SUBJECTS, WARM, api_of, environment, key_of, loaded, server_if_any
from brownout.subject.ports import HOST
from brownout.subject.processes.process import Process
from brownout.subject.servers import ladder
from brownout.subject.servers.redis_server import RedisServer
from brownout.subject.waiting import eventually
from system.settings import Settings
from tests.postgres import Postgres

ROOT = Path(__file__).parents[1]
WITHIN = 180.0  # s
OWN = ("sqlite", "postgres")
ENDED = text("SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL")
STARTED = text("SELECT started_at FROM jobs WHERE id = :id AND finished_at IS NOT NULL")


@dataclass(frozen=True)
class Slice:
    """What came out of one subject: jobs a second, and the median of the seconds from a 202 to the job's start."""

    rate: float
    start: float | None

    def __str__(self) -> str:
        start = "" if self.start is None else f", {self.start * 1e3:.0f} ms from 202 to start"
        return f"{self.rate:.0f} jobs a second{start}"


def _settings(env: dict[str, str]) -> Settings:
    """The settings of the processes that have this environment."""
    given = {name.removeprefix("SYSTEM_").lower(): value for name, value in env.items() if name.startswith("SYSTEM_")}
    return Settings(_env_file=None, **{name: value for name, value in given.items() if name != "api_keys"})  # type: ignore[arg-type] # pydantic reads the text


def _starts(port: int, engine: Engine, count: int) -> list[float]:
    """Seconds from the answer to the start, for jobs that come one by one."""
    took = []
    headers = {"Authorization": f"Bearer {key_of(0)}"}
    with httpx.Client(base_url=f"http://{HOST}:{port}", headers=headers) as client:
        for number in range(count):
            answer = client.post("/process-data", json={"n": number})
            accepted = time.time()
            job = answer.raise_for_status().json()["task_id"]

            def started(job: str = job) -> float | None:
                with engine.connect() as connection:
                    at: float | None = connection.execute(STARTED, {"id": job}).scalar_one_or_none()
                    return at

            took.append((eventually(started, within=WITHIN, every=0.005, what="the job has ended") or 0) - accepted)
    return took


def _worker(subject: str, folder: Path, env: dict[str, str], processes: int) -> Process:
    app = "system.worker" if subject in OWN else "benchmarks.plain:celery"
    options = ("--without-mingle", "--without-gossip", "-c", str(processes), "-n", "worker@here")
    argv = [sys.executable, "-m", "celery", "-A", app, "worker", *options]
    return Process.launch("worker", argv, log=folder / "worker.log", env=env, cwd=folder)


def measured(subject: str, chosen: argparse.Namespace, server: Postgres | None) -> Slice:
    """One subject with its worker."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(ladder.server(ladder.choose("local")))
        env = environment(subject, broker, folder, server, chosen.clients)
        env |= {"SYSTEM_PACE": "0", "C_FORCE_ROOT": "1", "PYTHONPATH": str(ROOT)}
        _, port = stack.enter_context(api_of(subject, folder, env))
        stack.callback(_worker(subject, folder, env, chosen.processes).stop)
        ready = lambda: consumers(broker) >= 1  # noqa: E731 - one line says it
        eventually(ready, within=WITHIN, every=0.1, what="the worker waits", ignoring=(redis.RedisError,))
        engine = None
        if subject in OWN:
            engine = create_engine(_settings(env).store_url)
            stack.callback(engine.dispose)
        ended = _ended_in_redis(broker) if engine is None else _ended_in_store(engine)
        warm = len(loaded(port, chosen.clients, WARM)[1])
        eventually(lambda: ended() >= warm, within=WITHIN, every=0.05, what="the jobs of the warm-up have ended")
        begun, taken = loaded(port, chosen.clients, chosen.seconds)
        eventually(lambda: ended() >= warm + len(taken), within=WITHIN, every=0.05, what="all jobs have ended")
        rate = len(taken) / (time.monotonic() - begun)
        return Slice(rate, None if engine is None else median(_starts(port, engine, chosen.single)))


def _ended_in_redis(broker: RedisServer) -> Callable[[], int]:
    def ended() -> int:
        with broker.client(1) as client:
            return int(client.dbsize())  # a key for each result

    return ended


def _ended_in_store(engine: Engine) -> Callable[[], int]:
    def ended() -> int:
        with engine.connect() as connection:
            return int(connection.execute(ENDED).scalar_one())

    return ended


def main() -> int:
    """Measure and print rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="slices of each subject, in turn (default: 3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of submissions (default: 2)")
    parser.add_argument("--clients", type=int, default=16, help="at once (default: 16)")
    parser.add_argument("--processes", type=int, default=2, help="of the worker (default: 2)")
    parser.add_argument("--single", type=int, default=100, help="jobs one by one (default: 100)")
    parser.add_argument("--no-postgres", action="store_true", help="leave PostgreSQL out (default: where there is one)")
    chosen = parser.parse_args()
    with server_if_any(not chosen.no_postgres) as server:
        slices: dict[str, list[Slice]] = {"plain": [], "sqlite": [], **({"postgres": []} if server else {})}
        for _ in range(chosen.rounds):
            for name, found in slices.items():
                found.append(measured(name, chosen, server))
                print(f"{name}: {found[-1]} (load average {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
    print("| subject | jobs a second | beside plain Celery | median from 202 to start |\n|---|---|---|---|")
    for name, found in slices.items():
        rates = [each.rate for each in found]
        ratios = [one.rate / plain.rate for one, plain in zip(found, slices["plain"], strict=True)]
        starts = [each.start * 1e3 for each in found if each.start is not None]
        start = f"{median(starts):.0f} ms ({min(starts):.0f}–{max(starts):.0f})" if starts else "-"
        rate = f"{median(rates):.0f} ({min(rates):.0f}–{max(rates):.0f})"
        print(f"| {SUBJECTS[name]} | {rate} | {median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f}) | {start} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
