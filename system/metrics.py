"""Prometheus metrics. What the job store knows is read from the store at each scrape; what happens is counted here.

The processes of a worker's pool count in files of the folder `PROMETHEUS_MULTIPROC_DIR`, which must be new or empty
when the worker starts; so do the processes of gunicorn. Without that variable each process counts for itself.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from celery.exceptions import Ignore, Retry
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

ACCEPTED = Counter("system_jobs_accepted", "Jobs that this API recorded")
PUBLISHED = Counter("system_messages_published", "Messages of jobs that were sent to the broker and noted")
REPUBLISHED = Counter("system_messages_republished", "Those of them whose job had been published before")
EXECUTED = Counter("system_runs", "Runs of tasks, by their outcome: success, failure or retry", ["outcome"])
DEDUPLICATED = Counter("system_deduplicated", "What was not done again: a request, a delivery", ["what"])
LAG = Histogram(
    "system_loop_lag_seconds", "Lateness of a sleep on the API's event loop", buckets=(0.005, 0.01, 0.05, 0.1, 0.5, 1)
)
LAG_SECONDS = 0.25  # the length of that sleep


def note(published: Callable[[Mapping[str, float]], int], sent: Mapping[str, float]) -> None:
    """Note in the store when these jobs' messages were sent (`Store.published`), and count them."""
    again = published(sent)
    PUBLISHED.inc(len(sent))
    REPUBLISHED.inc(again)


@contextmanager
def counted() -> Iterator[None]:
    """Count the run of a task in the block by how it ends; `Ignore` says that the delivery was of no use any more."""
    try:
        yield
    except Ignore:
        DEDUPLICATED.labels("delivery").inc()
        raise
    except Retry:
        EXECUTED.labels("retry").inc()
        raise
    except Exception:
        EXECUTED.labels("failure").inc()
        raise
    EXECUTED.labels("success").inc()


async def watch_loop() -> None:
    """Measure how late the event loop is, until the asyncio task is cancelled."""
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(LAG_SECONDS)
        LAG.observe(max(0.0, time.perf_counter() - begun - LAG_SECONDS))


class StoreFacts(Collector):
    """Metrics made from the statistics of the job store (`Store.stats`)."""

    def __init__(self, stats: Mapping[str, Any]) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        """The gauges; jobs past their retention are in none of them."""
        stats = self._stats
        states = GaugeMetricFamily("system_jobs", "Jobs in the store, by state", labels=["state"])
        for state, count in stats["jobs"].items():
            states.add_metric([state], count)
        since = GaugeMetricFamily("system_seconds_since", "Seconds since a process was active", labels=["process"])
        for process, seconds in stats["seconds_since"].items():
            since.add_metric([process], seconds)
        plain = {
            "system_backlog": ("Unfinished jobs", stats["unfinished"]),
            "system_oldest_unfinished_seconds": ("Age of the oldest", stats["oldest_unfinished_seconds"] or 0),
            "system_dead_letters": ("Jobs that used up what they may", stats["dead_letters"]),
            "system_effects": ("Effects that were recorded", stats["effects"]),
        }
        return [states, since, *(GaugeMetricFamily(name, text, value) for name, (text, value) in plain.items())]


def _counted() -> CollectorRegistry:
    """The counters of this process, or those of all processes that share its folder."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def exposition(stats: Mapping[str, Any]) -> bytes:
    """All metrics as Prometheus reads them (text/plain; version=0.0.4)."""
    return generate_latest(_counted()) + generate_latest(StoreFacts(stats))


def serve(host: str, port: int) -> None:
    """Serve the counters of the relay or a worker in a thread. Raises OSError when the port is taken."""
    start_http_server(port, host, _counted())
