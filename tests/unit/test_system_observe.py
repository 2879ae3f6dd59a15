"""Logs, metrics and traces of the system, without processes."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx import AsyncClient
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from system.job import Reason, Request, now
from system.metrics import LAG_SECONDS, exposition, note, watch_loop
from system.settings import Settings
from system.store import Store
from system.tracing import _number, span
from tests.unit.conftest import ended

ROOT = Path(__file__).parents[2]


# In a process of its own: `log_json` takes the place of pytest's handlers.
LOGS = """
import logging
from system.logs import log_json
log_json()
logging.getLogger("system.relay").info("published", extra={"job": "job-1"})
told = {"id": "job-2", "args": "({'password': 'secret'},)"}
logging.getLogger("celery.app.trace").info("Task %(id)s succeeded", told, extra={"data": told})
logging.getLogger("uvicorn.error").info("started")
try:
    raise ValueError("no\\nway")
except ValueError:
    logging.getLogger("system").exception("it failed", extra={"job": "job-3"})
"""


def test_a_line_is_json_and_names_its_job_wherever_it_was_logged() -> None:
    run = subprocess.run([sys.executable, "-c", LOGS], cwd=ROOT, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in run.stderr.splitlines()]
    assert [line["job"] for line in found] == ["job-1", "job-2", None, "job-3"]
    assert found[0] | {"asctime": ""} == {
        "asctime": "", "level": "INFO", "name": "system.relay", "message": "published", "processName": "MainProcess",
        "job": "job-1",
    }  # fmt: skip
    assert "secret" not in run.stderr, "the arguments of a task are in no line"
    assert "ValueError: no" in found[3]["exc_info"], "an exception is part of its line"


def values(text: str) -> dict[str, float]:
    """The metrics that the system defines, by name and labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name + "".join(sample.labels.values()): sample.value for sample in samples}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(Settings(_env_file=None, database=tmp_path / "system.db"))
    store.create()
    yield store
    store.close()


def test_what_the_store_knows_is_read_at_each_scrape(store: Store) -> None:
    done, failed, waiting = (store.accept(Request("system.divide", (1, n)))[0].id for n in range(3))
    store.start(done, 1)
    store.finish(done, "system.divide", 1)
    store.start(failed, 1)
    store.fail(failed, 1, ConnectionError("no"), Reason.RETRIES)
    found = values(exposition(store.stats()).decode())
    assert found["system_backlog"] == 1
    assert found["system_effects"] == 1
    assert found["system_dead_letters"] == 1
    assert found["system_jobsSUCCESS"] == found["system_jobsFAILURE"] == found["system_jobsPENDING"] == 1
    assert found["system_oldest_unfinished_seconds"] > 0
    store.start(waiting, 1)
    store.finish(waiting, "system.divide", 1)
    again = values(exposition(store.stats()).decode())
    assert (again["system_backlog"], again["system_oldest_unfinished_seconds"]) == (0, 0)


def test_a_message_that_is_sent_again_counts_as_republished(store: Store) -> None:
    job, _ = store.accept(Request("system.divide", (1, 2)))

    def counted() -> tuple[float, float]:
        names = ("system_messages_published_total", "system_messages_republished_total")
        first, again = (REGISTRY.get_sample_value(name) or 0 for name in names)
        return first, again

    (first, again) = counted()
    note(store.published, {job.id: now()})
    assert counted() == (first + 1, again)
    note(store.published, {job.id: now()})
    assert counted() == (first + 2, again + 1)


def test_without_a_collector_a_span_does_nothing() -> None:
    with span("run", "job-4") as nothing:
        assert nothing is None


def test_a_trace_has_the_number_of_its_job() -> None:
    assert f"{_number('12345678-1234-4234-9234-123456789abc'):032x}" == "12345678123442349234123456789abc"
    assert _number("sent past the store") == _number("sent past the store") != _number("another")


@pytest.mark.asyncio
async def test_the_api_tells_its_metrics(client: AsyncClient) -> None:
    before = values((await client.get("/metrics")).text)
    answers = [await client.post("/compute", json={"n": 3}, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    await ended(client, answers[0].raise_for_status().json()["task_id"])
    after = values((await client.get("/metrics")).text)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["system_jobs_accepted_total"] == 1
    assert grown["system_deduplicated_totalrequest"] == 1
    assert grown["system_runs_totalsuccess"] == 1
    assert after["system_effects"] == 1


@pytest.mark.asyncio
async def test_a_loop_that_stands_still_is_seen_as_lag() -> None:
    def late() -> float:
        return REGISTRY.get_sample_value("system_loop_lag_seconds_sum") or 0

    before, watch = late(), asyncio.create_task(watch_loop())
    await asyncio.sleep(0)
    time.sleep(LAG_SECONDS + 0.5)  # noqa: ASYNC251 - what the watch is there for
    for _ in range(5):  # its timer has run out: the loop only has to get to it
        await asyncio.sleep(0)
    watch.cancel()
    assert late() - before >= 0.4
