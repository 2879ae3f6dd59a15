"""Jobs a second with 1, 2 and 4 workers, that share one PostgreSQL and one Redis with several relays.

    python -m benchmarks.scale [--workers 1 2 4] [--relays 2] [--jobs 300] [--work 0.1] [--concurrency 2] [--rounds 3]

All jobs are in the store before the relays start, and all workers are ready. A job waits for `--work` seconds, as a job
does that calls another service, so that the machine's processors are not what is measured. A rate is that of the jobs
between the first and the last that ended. Without PostgreSQL the store is an SQLite file.
"""

# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import redis
from sqlalchemy import create_engine, text

from benchmarks.submissions import server_if_any, system_env
from brownout.subject.processes.process import Process
from brownout.subject.servers import ladder
from brownout.subject.servers.redis_server import RedisServer
from brownout.subject.waiting import eventually
from system.job import Request
from system.settings import Settings
from system.store import Store
from system.work import PROCESS_SECONDS
from tests.postgres import Postgres

ROOT = Path(__file__).parents[1]
WITHIN = 180.0  # s
TOGETHER = 100  # jobs that are accepted in one transaction
ENDED = text("SELECT count(finished_at), min(finished_at), max(finished_at), max(starts) FROM jobs")


def consumers(server: RedisServer) -> int:
    """How many workers wait for messages."""
    with server.client() as client:
        return sum(connection["cmd"] == "brpop" for connection in client.client_list())


def measured(workers: int, chosen: argparse.Namespace, server: Postgres | None) -> float:
    """Jobs a second with so many workers."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(ladder.server(ladder.choose("local")))
        pace = {"SYSTEM_PACE": str(chosen.work / PROCESS_SECONDS), "SYSTEM_QUEUE_PATIENCE": "600"}
        env = {**system_env(broker, folder, server), **pace, "C_FORCE_ROOT": "1", "PYTHONPATH": str(ROOT)}
        given: dict[str, Any] = {
            name.removeprefix("SYSTEM_").lower(): value for name, value in env.items() if "SYSTEM_" in name
        }
        settings = Settings(_env_file=None, **given)
        store = Store(settings)
        stack.callback(store.close)
        store.create()
        for begin in range(0, chosen.jobs, TOGETHER):
            numbers = range(begin, min(begin + TOGETHER, chosen.jobs))
            store.accept_all([Request("system.process_data", ({"n": n},)) for n in numbers], own=0)

        def part(name: str, *argv: str) -> None:
            process = Process.launch(
                name, [sys.executable, "-m", *argv], log=folder / f"{name}.log", env=env, cwd=folder
            )
            stack.callback(process.stop)

        for number in range(workers):
            options = ("--without-mingle", "--without-gossip", "-c", str(chosen.concurrency), "-n", f"w{number}@here")
            part(f"worker-{number}", "celery", "-A", "system.worker", "worker", *options)
        eventually(
            lambda: consumers(broker) >= workers,
            within=WITHIN,
            every=0.1,
            what="all workers wait for messages",
            ignoring=(redis.RedisError,),
        )
        for number in range(chosen.relays):
            part(f"relay-{number}", "system.relay")
        engine = create_engine(settings.store_url)
        stack.callback(engine.dispose)

        def ended() -> tuple[int, float, float, int]:
            with engine.connect() as connection:
                count, first, last, starts = connection.execute(ENDED).one()
                return count, first, last, starts

        eventually(lambda: ended()[0] == chosen.jobs, within=WITHIN, every=0.2, what="all jobs have ended")
        _, first, last, starts = ended()
        if starts > 1:
            raise RuntimeError("a job was started more than once")
        return float((chosen.jobs - 1) / (last - first))


def main() -> int:
    """Measure and print rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="(default: 1 2 4)")
    parser.add_argument("--relays", type=int, default=2, help="(default: 2)")
    parser.add_argument("--jobs", type=int, default=300, help="of a slice (default: 300)")
    parser.add_argument("--work", type=float, default=0.1, help="seconds that a job waits (default: 0.1)")
    parser.add_argument("--concurrency", type=int, default=2, help="processes of a worker (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="slices of each number, in turn (default: 3)")
    chosen = parser.parse_args()
    rates: dict[int, list[float]] = {workers: [] for workers in chosen.workers}
    with server_if_any(wanted=True) as server:
        for _ in range(chosen.rounds):
            for workers in chosen.workers:
                begun = time.monotonic()
                rates[workers].append(measured(workers, chosen, server))
                took, load = time.monotonic() - begun, os.getloadavg()[0]
                print(
                    f"{workers}: {rates[workers][-1]:.1f} a second; {took:.0f} s, load average {load:.1f}", flush=True
                )
    print("| workers | jobs a second | most possible |\n|---|---|---|")
    for workers, found in rates.items():
        most = workers * chosen.concurrency / chosen.work
        print(f"| {workers} | {median(found):.0f} ({min(found):.0f}–{max(found):.0f}) | {most:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
