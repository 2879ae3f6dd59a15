"""Rules about what the API's routes do with tasks."""

from __future__ import annotations

from collections.abc import Iterator

from brownout.lint.facts import Facts
from brownout.lint.rule import Found, Scenario, rule


@rule(
    "publish-on-loop",
    looks_at="`delay()`, `apply_async()` or `send_task()` that an `async def` route or dependency reaches without a "
    "thread",
    goes_wrong="while the broker is slow or silent, the event loop stands still, and with it every other request",
    mend="a plain `def` route, or await asyncio.to_thread(task.delay, ...), with a socket_timeout",
    shown=Scenario("tests/chaos/test_seeds.py::test_seeds[blocking_loop-wrong]"),
)
def publish_on_loop(facts: Facts) -> Iterator[Found]:
    """The calls are found in the code; functions that are passed to a thread are left out."""
    for who, call in facts.calls("publish"):
        if call.on_loop:
            yield Found(f"{who} ({call.place})", f"publishes {call.task or 'a task'} on the event loop")


@rule(
    "task-on-loop",
    looks_at="a task that an `async def` route or dependency calls like a function",
    goes_wrong="the whole task runs on the event loop, which answers no other request until it ends",
    mend="task.delay(...) in a plain `def` route",
    shown=Scenario("tests/chaos/test_seeds.py::test_seeds[cpu_on_loop-wrong]"),
)
def task_on_loop(facts: Facts) -> Iterator[Found]:
    """A call `task(x)` runs the task in place and sends no message."""
    for who, call in facts.calls("run"):
        if call.on_loop:
            yield Found(f"{who} ({call.place})", f"calls {call.task}, which runs there and then on the event loop")


@rule(
    "backend-stops-publishing",
    looks_at="a route that publishes a task whose result is not ignored, with Redis as result backend",
    goes_wrong="the result is subscribed to before the task is sent: while the result backend is away, nothing is "
    "published although the broker is well",
    mend="ignore_result = True for the task, or apply_async(..., ignore_result=True) where nobody waits for the result",
    shown=Scenario("tests/integration/test_system_relay.py::test_a_result_backend_that_is_away_stops_no_publishing"),
)
def backend_stops_publishing(facts: Facts) -> Iterator[Found]:
    """See `RedisBackend.on_task_call`. Celery does not subscribe to the result when a worker's task publishes, so only
    routes are judged."""
    if facts.celery is None or facts.celery.backend != "redis":
        return
    for route in facts.routes:
        for call in route.calls:
            task = facts.tasks.get(call.task)
            if call.kind == "publish" and call.ignored is False and task and not task.ignore_result:
                what = f"needs the result backend to publish {call.task}"
                yield Found(f"{route.route} ({call.place})", what)


@rule(
    "result-never-stored",
    looks_at="a route that reads the `AsyncResult` of a task with `ignore_result`",
    goes_wrong="a task that is done stays PENDING for whoever asks",
    mend="ignore_result = False for the task, or a status that the application stores itself",
    shown=Scenario("tests/chaos/test_seeds.py::test_seeds[ignoring_results-wrong]"),
)
def result_never_stored(facts: Facts) -> Iterator[Found]:
    """Celery also answers PENDING for an id that it does not know."""
    for who, call in facts.calls("result"):
        if call.task in facts.tasks and facts.tasks[call.task].ignore_result:
            yield Found(f"{who} ({call.place})", f"reads the result of {call.task}, which stores none")


@rule(
    "background-work",
    looks_at="`add_task` of FastAPI's `BackgroundTasks` in a route's own code",
    goes_wrong="the work lives in the API process, and is lost when that process dies after its answer",
    mend="a Celery task for work that must not be lost",
    shown=Scenario("tests/chaos/test_seeds.py::test_seeds[overusing_background-wrong]"),
)
def background_work(facts: Facts) -> Iterator[Found]:
    """The rule does not find calls of a wrapper that the application puts around BackgroundTasks."""
    for who, call in facts.calls("background"):
        yield Found(f"{who} ({call.place})", "hands work to BackgroundTasks")
