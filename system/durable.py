"""Durable Celery tasks: the job store records the outcome of each task with its job."""

from collections.abc import Callable
from typing import Any, cast

from celery import Task, shared_task
from celery.exceptions import Ignore
from celery.utils.time import get_exponential_backoff_interval

from system.broker import PUBLISHED_AT
from system.celery_app import App
from system.job import Reason, now
from system.metrics import counted
from system.publisher import HIDDEN
from system.store import Store
from system.tracing import span

Errors = tuple[type[Exception], ...]


def app_of(task: Task[Any, Any]) -> App:
    """Return the application to which a running task is bound."""
    return cast("App", task.app)


def durable(name: str, *, transient: Errors = ()) -> Callable[[Callable[..., Any]], Task[Any, Any]]:
    """Return a decorator that makes a durable Celery task of `function(task, *args)`.

    The task id is the job's id. The job store records the task's result or error. After a `transient` error the task is
    retried after a countdown by Celery's formula (exponential, full jitter). A task that a client sent by its name,
    past the job store, runs like any Celery task, and its effect is recorded once for its task id, too.
    """

    def decorate(function: Callable[..., Any]) -> Task[Any, Any]:
        def run(task: Task[Any, Any], *args: Any) -> Any:
            with counted(), span("run", task.request.id or ""):
                return _execute(task, function, args, transient)

        run.__doc__ = function.__doc__
        options: dict[str, Any] = {"name": name, "bind": True, "Request": "system.deaths:Request"}
        register: Callable[[Callable[..., Any]], Task[Any, Any]] = shared_task(**options)
        return register(run)

    return decorate


def _execute(task: Task[Any, Any], function: Callable[..., Any], args: tuple[Any, ...], transient: Errors) -> Any:
    store, job_id = app_of(task).store, cast("str", task.request.id)
    start = store.start(job_id, task.request.retries + 1)
    if not start.run:
        raise Ignore  # the job is finished, or a later attempt has replaced the delivered attempt
    try:
        result = function(task, *args)
    except transient as error:
        _retry(task, store, error, before=start.job.attempts_before if start.job else 0)
    except Exception as error:
        store.fail(job_id, task.request.retries + 1, error)
        raise
    with span("effect", job_id):
        store.finish(job_id, task.name, result)
    # The job store keeps the result of a job. Celery would write it to the worker's log and to Flower.
    return result if start.job is None else None


def _retry(task: Task[Any, Any], store: Store, error: Exception, *, before: int) -> None:
    settings, request = app_of(task).settings, task.request
    job_id, retries = cast("str", request.id), request.retries - before
    if retries >= settings.max_retries:
        store.fail(job_id, request.retries + 1, error, Reason.RETRIES)
        raise error
    countdown = get_exponential_backoff_interval(
        factor=1, retries=retries, maximum=settings.backoff_max, full_jitter=True
    )
    at = now()
    if not store.retry(job_id, request.retries + 1, countdown, at):
        raise Ignore from error
    again: Callable[..., Exception] = task.retry  # its types leave out the options
    headers = {**(request.headers or {}), PUBLISHED_AT: at}
    options: dict[str, Any] = {"max_retries": settings.max_retries + before, "headers": headers}
    raise again(exc=error, countdown=countdown, argsrepr=HIDDEN, **options)
