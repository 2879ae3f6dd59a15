"""Accepted submissions a second: the system beside `task.delay()` in an `async def` handler, in turn in one run.

    python -m benchmarks.submissions [--rounds 3] [--seconds 6] [--clients 16] [--no-postgres]

Each slice has a Redis, a database, one uvicorn process, and the system its relay. The clients are one process; each
keeps its connection, and sends its next request when it has the answer to the last one. No worker runs, so the system's
backlog limit is raised; everything else is as shipped. Each client is an owner with an API key: one owner alone may
submit 1,000 times a second. `published` is the part of the accepted jobs whose messages were in Redis when the slice
ended.
"""

# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import httpx
import psutil

from brownout.subject.ports import HOST, free_port
from brownout.subject.processes.process import Process
from brownout.subject.servers import ladder
from brownout.subject.servers.redis_server import RedisServer
from brownout.subject.waiting import eventually
from tests.postgres import NoPostgres, Postgres, postgres

ROOT = Path(__file__).parents[1]
WARM = 1.0  # s of load before the slice that counts
REQUEST = (
    "POST /process-data HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {key}\r\n"
    'Content-Type: application/json\r\nContent-Length: 8\r\n\r\n{{"n": 1}}'
)
SUBJECTS = {
    "plain": "`task.delay()`, Redis results",
    "plain-no-results": "`task.delay()`, no results",
    "sqlite": "the system, SQLite",
    "postgres": "the system, PostgreSQL",
}


@dataclass(frozen=True)
class Slice:
    """What came out of one subject under load. Times in seconds."""

    rate: float
    p50: float
    p99: float
    cpu: float  # of the API's process, for each accepted submission
    published: float

    def __str__(self) -> str:
        times = f"{self.rate:.0f} a second, median {self.p50 * 1e3:.1f} ms, p99 {self.p99 * 1e3:.0f} ms"
        return f"{times}, {self.cpu * 1e6:.0f} us of CPU each, {self.published:.0%} published"


async def _client(number: int, port: int, until: float) -> list[float]:
    request = REQUEST.format(key=key_of(number)).encode()
    reader, writer = await asyncio.open_connection(HOST, port)
    taken = []
    while (begun := time.monotonic()) < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 202"):
            raise RuntimeError(f"not accepted: {head!r}")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        taken.append(time.monotonic() - begun)
    writer.close()
    return taken


def load(port: int, clients: int, seconds: float) -> tuple[float, list[float]]:
    """What the process of the clients does; returns when it began (`time.monotonic`, which processes share), and the
    time of each accepted submission."""

    async def all_clients() -> tuple[float, list[float]]:
        begun = time.monotonic()
        until = begun + seconds
        taken = await asyncio.gather(*(_client(number, port, until) for number in range(clients)))
        return begun, [time for times in taken for time in times]

    return asyncio.run(all_clients())


def loaded(port: int, clients: int, seconds: float) -> tuple[float, list[float]]:
    """`load` in a process of its own."""
    argv = [sys.executable, "-m", "benchmarks.submissions", "--load", str(port), str(clients), str(seconds)]
    done = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    begun, taken = json.loads(done.stdout)
    return begun, taken


@contextmanager
def uvicorn(app: str, folder: Path, env: Mapping[str, str], *, relay: bool = False) -> Iterator[tuple[Process, int]]:
    """One uvicorn process with this environment, and its port; with its relay beside it."""
    port, given = free_port(), {**env, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "uvicorn", app, "--host", HOST, "--port", str(port), "--no-access-log"]
    api = Process.launch("api", argv, log=folder / "api.log", env=given, cwd=folder)
    parts = [api]
    try:
        if relay:
            argv = [sys.executable, "-m", "system.relay"]
            parts.append(Process.launch("relay", argv, log=folder / "relay.log", env=given, cwd=folder))
        eventually(
            lambda: httpx.get(f"http://{HOST}:{port}/openapi.json").status_code in (200, 401),
            within=30,
            what="the API answers",
            evidence=api.tail,
            ignoring=(httpx.TransportError,),
        )
        yield api, port
    finally:
        for part in parts:
            part.stop()


def system_env(redis: RedisServer, folder: Path, server: Postgres | None) -> dict[str, str]:
    """The environment of a system with a new store: on this server, or in this folder."""
    urls = {"SYSTEM_BROKER_URL": redis.url(0), "SYSTEM_RESULT_URL": redis.url(1)}
    store = {"SYSTEM_DATABASE": str(folder / "jobs.db")}
    if server:
        store["SYSTEM_DATABASE_URL"] = server.url(server.new_database())
    return {**urls, **store, "SYSTEM_BACKLOG_LIMIT": str(10**9)}


@contextmanager
def server_if_any(wanted: bool) -> Iterator[Postgres | None]:
    """A PostgreSQL that syncs its commits; None, and a line that says why, where there is none."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(postgres(durable=True)) if wanted else None
        except NoPostgres as error:
            print(error, file=sys.stderr)
            server = None
        yield server


def key_of(client: int) -> str:
    """The API key of a client."""
    return f"{client:032}"


def environment(
    subject: str, redis: RedisServer, folder: Path, server: Postgres | None, clients: int
) -> dict[str, str]:
    """What the processes of a subject have in their environment. Each client has an API key."""
    if subject in ("sqlite", "postgres"):
        keys = {f"owner-{client}": key_of(client) for client in range(clients)}
        env = system_env(redis, folder, server if subject == "postgres" else None)
        return {**env, "SYSTEM_API_KEYS": json.dumps(keys)}
    results = {"RESULT_URL": redis.url(1)} if subject == "plain" else {}
    return {"BROKER_URL": redis.url(0), **results}


def api_of(subject: str, folder: Path, env: Mapping[str, str]) -> AbstractContextManager[tuple[Process, int]]:
    """The API of a subject and its port; the system has its relay beside it."""
    own = subject in ("sqlite", "postgres")
    return uvicorn("system.main:app" if own else "benchmarks.plain:app", folder, env, relay=own)


def measured(subject: str, clients: int, seconds: float, server: Postgres | None) -> Slice:
    """One subject under load."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(ladder.server(ladder.choose("local")))
        env = environment(subject, redis, folder, server, clients)
        api, port = stack.enter_context(api_of(subject, folder, env))
        _, warm = loaded(port, clients, WARM)
        before = psutil.Process(api.pid).cpu_times()
        _, taken = loaded(port, clients, seconds)
        after = psutil.Process(api.pid).cpu_times()
        with redis.client(0) as client:
            published = client.llen("celery") / (len(warm) + len(taken))
        cpu = (after.user + after.system - before.user - before.system) / len(taken)
        percent = quantiles(taken, n=100)
        return Slice(len(taken) / seconds, percent[49], percent[98], cpu, published)


def main() -> int:
    """Measure and print rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="slices of each subject, in turn (default: 3)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of a slice (default: 6)")
    parser.add_argument("--clients", type=int, default=16, help="at once (default: 16)")
    parser.add_argument("--no-postgres", action="store_true", help="leave PostgreSQL out (default: where there is one)")
    parser.add_argument("--load", nargs=3, metavar=("PORT", "CLIENTS", "SECONDS"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.load:
        port, clients, seconds = chosen.load
        json.dump(load(int(port), int(clients), float(seconds)), sys.stdout)
        return 0
    with server_if_any(not chosen.no_postgres) as server:
        subjects = [name for name in SUBJECTS if server or name != "postgres"]
        slices: dict[str, list[Slice]] = {name: [] for name in subjects}
        for _ in range(chosen.rounds):
            for name in subjects:
                slices[name].append(measured(name, chosen.clients, chosen.seconds, server))
                print(
                    f"{name}: {slices[name][-1]} (load average {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True
                )
    print("| subject | accepted a second | beside `task.delay()` | median | p99 | CPU each | published |")
    print("|---|---|---|---|---|---|---|")
    for name, found in slices.items():
        ratios = [one.rate / plain.rate for one, plain in zip(found, slices["plain"], strict=True)]
        rate = [each.rate for each in found]
        rates = f"{median(rate):.0f} ({min(rate):.0f}–{max(rate):.0f})"
        beside = f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        times = f"{median(each.p50 for each in found) * 1e3:.0f} ms | {median(each.p99 for each in found) * 1e3:.0f} ms"
        rest = f"{median(each.cpu for each in found) * 1e6:.0f} µs | {median(each.published for each in found):.0%}"
        print(f"| {SUBJECTS[name]} | {rates} | {beside} | {times} | {rest} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
