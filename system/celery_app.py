"""Makes the Celery application from the settings. A comment at each Celery setting gives the reason for its value."""

from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar

from celery import Celery
from kombu import Queue

from system.settings import Settings
from system.store import Store

DEFAULT_QUEUE = "celery"
CPU_QUEUE = "cpu"


class App(Celery):
    """A Celery application that also has the system's settings and the job store, which each process opens on first
    use."""

    settings: ClassVar[Settings]

    @cached_property
    def store(self) -> Store:
        """The job store, its tables up to date."""
        store = Store(self.settings)
        store.create()
        return store


def make_celery(settings: Settings, store: Store | None = None) -> App:
    """A new application, with the store of its process if there is one. Several can live side by side."""
    import_module("system.tasks")  # the API and the relay, too, publish through the registered tasks
    app = App("system")
    app.settings = settings  # type: ignore[misc] # `App` declares it; Celery's class is `Any` to mypy
    if store is not None:
        app.store = store
    app.conf.update(configuration(settings))
    return app


def configuration(settings: Settings) -> dict[str, Any]:
    """Return Celery's settings for this system."""
    broker_timeout = settings.broker_timeout
    return {
        "broker_url": str(settings.broker_url),
        "result_backend": str(settings.result_url),
        # -- a worker that dies loses no task
        # By default a message is acknowledged before the task runs, so a worker that dies loses the task.
        "task_acks_late": True,
        # By default even a late-acknowledged message is acknowledged when its pool process is killed. The store counts
        # starts, so a task that kills its process is not redelivered for ever.
        "task_reject_on_worker_lost": True,
        # By default a worker takes four messages for each process: three of them wait behind a long task while other
        # workers are idle.
        "worker_prefetch_multiplier": 1,
        # By default this is off, and a worker that gets -OOM or -READONLY from Redis ends for good.
        "broker_channel_error_retry": True,
        # By default a worker gives up after 100 attempts to connect, so a long outage of the broker would end every
        # worker.
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            # By default no socket time-out is set, and a Redis that accepts a connection and does not answer blocks its
            # client for ever.
            "socket_timeout": broker_timeout,
            "socket_connect_timeout": broker_timeout,
            "socket_keepalive": True,
            # By default the task of a dead worker is delivered again after one hour. The time must be longer than every
            # run and countdown, else their messages are delivered twice; the settings check that.
            "visibility_timeout": settings.visibility_timeout,
            # By default kombu looks for messages to deliver again only every 100 s (10 x 10).
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            # By default a worker that is killed during kombu's sweep for unacked messages blocks this sweep in all
            # other workers for 300 s.
            "unacked_mutex_expire": settings.mutex_expire,
            # By default the health check comes every 25 s. A silent connection is noticed after brpop_timeout + 2 x
            # this interval.
            "health_check_interval": max(1, round(broker_timeout)),
        },
        # -- a task survives a failure of the result backend
        # By default Celery retries only the write, and one cut connection to the result backend turns a success into a
        # stored FAILURE.
        "result_backend_always_retry": True,
        # By default `result_backend_always_retry` retries without a limit: a pool process would wait for a dead backend
        # for ever.
        "result_backend_max_retries": 3,
        # By default the socket time-out of the result backend is 120 s.
        "redis_socket_timeout": broker_timeout,
        "redis_socket_connect_timeout": broker_timeout,
        # By default the health check is off, and a half-open connection to the result backend is found only when it is
        # used.
        "redis_backend_health_check_interval": max(1, round(broker_timeout)),
        "result_backend_transport_options": {"retry_policy": {"timeout": broker_timeout}},
        # -- no task runs for ever
        # By default tasks have no time limit: a hung task would hold its process and its message for ever.
        "task_time_limit": settings.time_limit,
        "task_soft_time_limit": settings.soft_time_limit,
        # -- a slow task, or a task that kills its process, does not stop other tasks
        "task_queues": [Queue(DEFAULT_QUEUE), Queue(CPU_QUEUE)],
        "task_routes": {"system.fibonacci": {"queue": CPU_QUEUE}},
        # -- beat: a message that is not delivered within its period is dropped, because the next one does its tick
        "beat_schedule": {
            "tick": {
                "task": "system.tick",
                "schedule": settings.tick_seconds,
                "options": {"expires": settings.tick_seconds, "ignore_result": True},
            }
        },
        # By default beat sleeps up to 300 s and would miss a shorter period.
        "beat_max_loop_interval": min(settings.tick_seconds, 5.0),
        # Workers read only JSON, because anyone who can write to Redis could send a pickle, which can run code.
        "accept_content": ["json"],
        "result_accept_content": ["json"],
    }
