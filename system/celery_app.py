"""The Celery application, made from settings. Each setting that differs from Celery's default says why."""

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
    """Celery with the settings it was made from and the job store, opened on first use in each process."""

    settings: ClassVar[Settings]

    @cached_property
    def store(self) -> Store:
        """The job store, its tables made if they are missing."""
        store = Store(self.settings)
        store.create()
        return store


def make_celery(settings: Settings) -> App:
    """A new application; several with different settings can live side by side."""
    import_module("system.tasks")  # the API and the relay, too, publish through the registered tasks
    app = App("system")
    app.settings = settings  # type: ignore[misc] # `App` declares it; Celery's class is `Any` to mypy
    app.conf.update(configuration(settings))
    return app


def configuration(settings: Settings) -> dict[str, Any]:
    """Celery's settings for this system."""
    broker_timeout = settings.broker_timeout
    return {
        "broker_url": str(settings.broker_url),
        "result_backend": str(settings.result_url),
        # -- nothing is lost with a worker
        # The default acknowledges before the task runs: a worker that dies takes the task with it.
        "task_acks_late": True,
        # The default acknowledges late tasks too when their pool process is killed. The store counts starts, so a task
        # that kills its process does not come back for ever.
        "task_reject_on_worker_lost": True,
        # The default takes four messages a process: three of them wait behind a long task while others idle.
        "worker_prefetch_multiplier": 1,
        # Off by default: a reply of -OOM or -READONLY would end the worker for good, also after the fault is over.
        "broker_channel_error_retry": True,
        # The default gives up after 100 attempts, so a long outage of the broker would end every worker.
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            # Unset by default: a Redis that accepts and does not answer blocks the caller for ever.
            "socket_timeout": broker_timeout,
            "socket_connect_timeout": broker_timeout,
            "socket_keepalive": True,
            # One hour by default: so long would the task of a dead worker wait. Above every run and countdown, or they
            # are delivered twice; the settings check that.
            "visibility_timeout": settings.visibility_timeout,
            # 10 x 10 by default: 100 s between two looks for messages to restore.
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            # 300 s by default: for so long a worker that was killed while it looked keeps all others from looking.
            "unacked_mutex_expire": settings.mutex_expire,
            # 25 s by default; with it a silent connection is noticed after brpop_timeout + 2 x interval.
            "health_check_interval": max(1, round(broker_timeout)),
        },
        # -- the result backend can fail without taking tasks with it
        # By default only the write is tried again, and one cut connection turns a success into a stored FAILURE.
        "result_backend_always_retry": True,
        # Unlimited by default with the setting above: a pool process would wait for a dead backend for ever.
        "result_backend_max_retries": 3,
        # 120 s by default.
        "redis_socket_timeout": broker_timeout,
        "redis_socket_connect_timeout": broker_timeout,
        # Off by default: half-open connections are found when they are used, not before.
        "redis_backend_health_check_interval": max(1, round(broker_timeout)),
        "result_backend_transport_options": {"retry_policy": {"timeout": broker_timeout}},
        # -- no task runs for ever
        # No limits by default: a hung task would hold its process, and its message, for ever.
        "task_time_limit": settings.time_limit,
        "task_soft_time_limit": settings.soft_time_limit,
        # -- a poisonous or slow task does not stop the others
        "task_queues": [Queue(DEFAULT_QUEUE), Queue(CPU_QUEUE)],
        "task_routes": {"system.fibonacci": {"queue": CPU_QUEUE}},
        # -- beat: a tick that could not run within its period is skipped, not run late on top of the next one
        "beat_schedule": {
            "tick": {
                "task": "system.tick",
                "schedule": settings.tick_seconds,
                "options": {"expires": settings.tick_seconds, "ignore_result": True},
            }
        },
        # 300 s by default: beat would oversleep a shorter period.
        "beat_max_loop_interval": min(settings.tick_seconds, 5.0),
        # Anyone who can write to Redis could send a pickle; only JSON is read.
        "accept_content": ["json"],
        "result_accept_content": ["json"],
    }
