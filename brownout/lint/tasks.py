"""Rules about tasks and their options."""

from __future__ import annotations

from collections.abc import Iterator

from brownout.lint.facts import Facts
from brownout.lint.rule import Cell, Found, Scenario, rule


@rule(
    "early-ack",
    looks_at="tasks without `acks_late`",
    goes_wrong="the message is acknowledged before the task runs: a worker that dies takes the task with it",
    mend="acks_late = True (task_acks_late for all), with an effect that is keyed by the task id: it may run twice",
    shown=Cell("defaults", "worker->broker/ZREM#1/after-kill"),
)
def early_ack(facts: Facts) -> Iterator[Found]:
    """Celery's default."""
    for task in facts.tasks.values():
        if not task.acks_late:
            yield Found(task.name, "the task is acknowledged before it runs")


@rule(
    "short-visibility",
    looks_at="a `visibility_timeout` that is not above the `time_limit` of a late-acked task, a countdown in the code "
    "or in beat's schedule, or the longest countdown of a retry",
    goes_wrong="Redis's transport delivers the message again while its task runs or waits: the task runs twice",
    mend='broker_transport_options["visibility_timeout"] above the longest countdown and run together',
    shown=Scenario("tests/chaos/test_seeds.py::test_seeds[short_visibility-wrong]"),
)
def short_visibility(facts: Facts) -> Iterator[Found]:
    """Times that are known only at run time are left out."""
    if facts.celery is None:
        return
    limit, after = facts.celery.visibility, f"the message comes again after {facts.celery.visibility:g} s"
    for task in facts.tasks.values():
        if task.acks_late and task.time_limit and task.time_limit >= limit:
            yield Found(task.name, f"may run for {task.time_limit:g} s; {after}")
        if task.retry_delay and task.retry_delay >= limit:
            yield Found(task.name, f"may wait for {task.retry_delay:g} s before a retry; {after}")
    for who, call in facts.calls("publish"):
        if call.countdown and call.countdown >= limit:
            yield Found(f"{who} ({call.place})", f"sends a task with a countdown of {call.countdown:g} s; {after}")
    for entry in facts.celery.beat:
        if entry.countdown and entry.countdown >= limit:
            yield Found(f"beat: {entry.task}", f"is sent with a countdown of {entry.countdown:g} s; {after}")


@rule(
    "unbounded-redelivery",
    looks_at="late-acked tasks with `reject_on_worker_lost` that never raise `Ignore` or `Reject`, do not look at "
    "`delivery_info`, and do not expire",
    goes_wrong="a task that kills its pool process comes back for ever, and kills the next one",
    mend="count the starts of a task outside of Celery and raise Reject or Ignore above a limit; or an expiry",
    shown=Scenario("tests/integration/test_system_poison.py::test_poison_ends_as_a_failure_and_others_go_on"),
)
def unbounded_redelivery(facts: Facts) -> Iterator[Found]:
    """A task that only beat sends, and sends with an expiry, is redelivered only until it expires."""
    if facts.celery is None:
        return
    expiring = {entry.task for entry in facts.celery.beat if entry.expires}
    sent = {call.task for _, call in facts.calls("publish")} | {
        entry.task for entry in facts.celery.beat if not entry.expires
    }
    for task in facts.tasks.values():
        if task.requeues and task.acks_late and not task.bounded and task.name not in expiring - sent:
            yield Found(task.name, "is put back each time its pool process dies, and nothing counts how often")
