"""Rules about the settings of the broker and of the result backend."""

from __future__ import annotations

from collections.abc import Iterator

from brownout.lint.facts import Facts
from brownout.lint.rule import Cell, Found, Scenario, rule

SETTINGS = "Celery's settings"


@rule(
    "no-socket-timeout",
    looks_at="`broker_transport_options` without `socket_timeout`",
    goes_wrong="kombu waits for a reply of Redis for ever: a publish hangs, or the worker's event loop stands still",
    mend='broker_transport_options["socket_timeout"], longer than the longest stall of Redis',
    shown=Cell("defaults", "client->broker/LPUSH#1/after-never"),
)
def no_socket_timeout(facts: Facts) -> Iterator[Found]:
    """The default of kombu's `socket_timeout` is None, so kombu waits without a limit."""
    if facts.celery and not facts.celery.socket_timeout:
        yield Found(SETTINGS, "the connection to the broker has no socket_timeout")


@rule(
    "lost-prefetch-credit",
    looks_at="`worker_prefetch_multiplier` 1, no `retry_on_timeout`, and no step or signal receiver of the application "
    "in the worker's start, which may be a watchdog",
    goes_wrong="an ack that fails keeps its prefetch credit for good; after one failed ack for each pool process the "
    "worker lives and asks for no more tasks",
    mend='broker_transport_options["retry_on_timeout"] = True; or a watchdog that ends a worker that does not consume',
    shown=Cell("hardened", "worker->broker/ZREM#1/before-cut"),
)
def lost_prefetch_credit(facts: Facts) -> Iterator[Found]:
    """The worker has one prefetch credit for each pool process."""
    celery = facts.celery
    if celery and celery.prefetch == 1 and not celery.retry_on_timeout and not celery.watched:
        yield Found(SETTINGS, "worker_prefetch_multiplier is 1: a failed ack takes a pool process's only credit")


@rule(
    "channel-error-ends-worker",
    looks_at="`broker_channel_error_retry` off",
    goes_wrong="an error reply of Redis (READONLY after a failover, OOM, BUSY) ends the worker for good",
    mend="broker_channel_error_retry = True (Celery 5.3), and a supervisor that starts the worker again",
    shown=Cell("defaults", "worker->broker/BRPOP[idle]#1/before-readonly"),
)
def channel_error_ends_worker(facts: Facts) -> Iterator[Found]:
    """Celery's default for `broker_channel_error_retry` is off."""
    if facts.celery and not facts.celery.channel_error_retry:
        yield Found(SETTINGS, "broker_channel_error_retry is off")


@rule(
    "one-database",
    looks_at="`broker_url` and `result_backend` name one database of one Redis",
    goes_wrong="whoever flushes the results takes the waiting tasks along; Redis may evict tasks for results",
    mend="result_backend with another database number against a flush, on another server against eviction",
    shown=Scenario("tests/chaos/test_seeds.py::test_seeds[one_database-wrong]"),
)
def one_database(facts: Facts) -> Iterator[Found]:
    """Two databases of one server share its memory limit, but not a FLUSHDB."""
    if facts.celery and facts.celery.one_database:
        yield Found(SETTINGS, "messages and results lie in the same database")
