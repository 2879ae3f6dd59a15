"""Whether a submission, a status and a look of the relay cost more with more jobs in the store.

    python -m benchmarks.growth [--jobs 1000 10000 100000] [--requests 400] [--no-postgres]

Each store has so many jobs, 500 of them unfinished, and a uvicorn process of its own. One client asks all of them in
turn, so that they share the machine's bad moments. The medians are compared with that of the smallest store.
"""

# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from sqlalchemy import insert, text

from benchmarks.submissions import system_env, uvicorn
from brownout.subject.ports import HOST
from brownout.subject.servers import ladder
from system.database import Database
from system.job import State
from system.settings import Settings
from system.store import Store
from system.tables import jobs, outbox
from tests.postgres import NoPostgres, Postgres, postgres

UNFINISHED = 500
LATER = 1e10  # s since the epoch: nobody publishes them
TOGETHER = 5_000


def filled(settings: Settings, count: int) -> Store:
    """A store with so many jobs."""
    database = Database(settings.store_url)
    database.create()
    same = {"fingerprint": "f", "task": "system.process_data", "args": [{"n": 1}], "accepted_at": 1.0}
    for begin in range(0, count, TOGETHER):
        rows = [
            {"id": f"job-{n}", "state": State.PENDING, "finished_at": None, **same}
            if n < UNFINISHED
            else {"id": f"job-{n}", "state": State.SUCCESS, "finished_at": time.time(), **same}
            for n in range(begin, min(count, begin + TOGETHER))
        ]
        with database.write() as connection:
            connection.execute(insert(jobs), rows)
    with database.write() as connection:
        connection.execute(
            insert(outbox), [{"job_id": f"job-{n}", "due": LATER} for n in range(min(UNFINISHED, count))]
        )
        connection.execute(text("ANALYZE"))
    database.close()
    return Store(settings)


def timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


def measured(counts: list[int], requests: int, server: Postgres | None) -> dict[str, list[float]]:
    """For each kind of request its median time (s) at each size."""
    with ExitStack() as stack:
        redis = stack.enter_context(ladder.server(ladder.choose("local")))
        kinds: list[dict[str, Callable[[], object]]] = []
        for count in counts:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            env = system_env(redis, folder, server)
            given = {name.removeprefix("SYSTEM_").lower(): value for name, value in env.items()}
            store = filled(Settings.model_validate(given), count)
            stack.callback(store.close)
            _, port = stack.enter_context(uvicorn("system.main:app", folder, env))
            client = stack.enter_context(httpx.Client(base_url=f"http://{HOST}:{port}", trust_env=False))
            some = f"/task-status/job-{count // 2}"
            kinds.append(
                {
                    "submission": partial(asked, client, "POST", "/process-data", json={"n": 1}),
                    "status": partial(asked, client, "GET", some),
                    "the relay's look": store.any_due,
                }
            )
        taken: dict[str, list[list[float]]] = {kind: [[] for _ in counts] for kind in kinds[0]}
        for _ in range(requests):
            for place, calls in enumerate(kinds):
                for kind, call in calls.items():
                    taken[kind][place].append(timed(call))
        return {kind: [median(times) for times in places] for kind, places in taken.items()}


def asked(client: httpx.Client, method: str, path: str, **body: Any) -> None:
    """Send one request. Raises httpx.HTTPStatusError for an answer of 400 or more."""
    client.request(method, path, **body).raise_for_status()


def main() -> int:
    """Measure and print rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = [1_000, 10_000, 100_000]
    parser.add_argument("--jobs", type=int, nargs="+", default=sizes, help="in the store (default: 1000 10000 100000)")
    parser.add_argument("--requests", type=int, default=400, help="of each kind at each size (default: 400)")
    parser.add_argument("--no-postgres", action="store_true", help="leave PostgreSQL out (default: where there is one)")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        servers: dict[str, Postgres | None] = {"SQLite": None}
        try:
            if not chosen.no_postgres:
                servers["PostgreSQL"] = stack.enter_context(postgres(durable=True))
        except NoPostgres as error:
            print(error, file=sys.stderr)
        print(f"| store | what | {' | '.join(f'{count:,} jobs' for count in chosen.jobs)} | most beside least |")
        print(f"|---|---|{'---|' * len(chosen.jobs)}---|")
        for name, server in servers.items():
            for kind, times in measured(chosen.jobs, chosen.requests, server).items():
                cells = " | ".join(f"{seconds * 1e3:.2f} ms" for seconds in times)
                print(f"| {name} | {kind} | {cells} | {max(times) / min(times):.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
