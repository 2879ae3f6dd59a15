"""What a scenario may promise: each function returns a value, and judges nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from brownout.check.recovery import recovery_bound
from brownout.check.registry import CHECKERS, finder_of
from brownout.plan.duration import Duration, seconds
from brownout.plan.near import known
from brownout.plan.promise import Promise

__all__ = [
    "answers", "at_least_once", "at_most_once", "attempts_within", "backlog_within", "backoff_within",
    "conservation", "drained", "effectively_once", "faults_acted", "graceful", "loop_never_stalls", "must_show",
    "no_cross_talk", "nothing_raised", "nothing_stuck", "p99", "recovers", "recovery_bound", "status_monotone",
    "status_truthful",
]  # fmt: skip

_PROOFS = ("effect", "ended")


def _promise(name: str, **args: Any) -> Promise:
    return Promise(name, {key: value for key, value in args.items() if value is not None})


def _time(value: Duration | None) -> float | None:
    return None if value is None else seconds(value)


def at_least_once(
    *,
    within: Duration | None = None,
    proof: str = "effect",
    or_failure: bool = True,
    accounting: bool = False,
    during: bool = False,
) -> Promise:
    """Nothing acknowledged is lost. `proof` "ended" is for tasks that record no effect.

    `within` counts from the acknowledgement or the end of the last fault, whichever is later; `during`: from the
    acknowledgement alone, for faults that must not hold anything up.
    `or_failure`: a readable FAILURE is an answer too. `accounting`: what is nowhere is lost at once, without waiting
    for a drain; only where no relay publishes again.
    """
    return _promise(
        "at_least_once",
        within=_time(within),
        proof=known("proof", proof, _PROOFS),
        or_failure=or_failure,
        accounting=accounting or None,
        during=during or None,
    )


def effectively_once(*, by: str = "key", within: Duration | None = None) -> Promise:
    """Each acknowledged operation takes effect exactly once. `by` is "key", "task", or a field of the effect's data."""
    return _promise("effectively_once", by=by, within=_time(within))


def at_most_once(*, by: str = "key", of: str = "effect") -> Promise:
    """Nothing takes effect twice, or with `of` "started" is begun twice."""
    return _promise("at_most_once", by=by, of=known("event", of, ("effect", "started")))


def drained() -> Promise:
    """At the end every queue is empty and nothing is unacked."""
    return _promise("drained")


def nothing_stuck(*, expires: Duration | None = None) -> Promise:
    """At the end no operation hangs, and no status stays unfinished.

    A status may be forgotten `expires` seconds after the work was done (`result_expires`), at once when it is 0.
    """
    return _promise("nothing_stuck", expires=_time(expires))


def answers(statuses: Iterable[int], *, within: Duration | None = None, path: str | None = None) -> Promise:
    """Every request for work, or every one to `path`, is answered in time with one of these statuses."""
    return _promise("answers", statuses=sorted(statuses), within=_time(within), path=path)


def status_monotone(*, expires: Duration | None = None, failure_final: bool = False) -> Promise:
    """A status never goes back."""
    return _promise("status_monotone", expires=_time(expires), failure_final=failure_final)


def status_truthful(*, grace: Duration = "100ms") -> Promise:
    """A status says what really happened; `grace` is for the record of an effect, written just after it."""
    return _promise("status_truthful", grace=seconds(grace))


def attempts_within(max_retries: int, *, starts: int | None = None, task: str | None = None) -> Promise:
    """No more retries than Celery's `max_retries`, and no more starts than `starts`."""
    return _promise("attempts_within", max_retries=max_retries, starts=starts, task=task)


def backoff_within(*, factor: float = 1, maximum: int = 600, jitter: bool = True, task: str | None = None) -> Promise:
    """Waits as retry_backoff, retry_backoff_max and retry_jitter of the task give them."""
    return _promise("backoff_within", factor=factor, maximum=maximum, jitter=jitter, task=task)


def no_cross_talk() -> Promise:
    """No one gets another's answer or result."""
    return _promise("no_cross_talk")


def loop_never_stalls(limit: Duration = "100ms") -> Promise:
    """The API's event loop never stands still for so long."""
    return _promise("loop_never_stalls", ms=round(seconds(limit) * 1000, 3))


def nothing_raised() -> Promise:
    """No exception leaves the API application."""
    return _promise("nothing_raised")


def p99(path: str, *, times: float = 3, floor: Duration = "50ms") -> Promise:
    """During the faults the 99th percentile of `path` is at most `times` that of before, or `floor`."""
    return _promise("p99", path=path, times=times, floor=seconds(floor))


def recovers(*, within: Duration, path: str | None = None, proof: str = "effect") -> Promise:
    """What is invoked after the last fault has healed is done in time."""
    return _promise("recovers", within=seconds(within), path=path, proof=known("proof", proof, _PROOFS))


def graceful(*, within: Duration) -> Promise:
    """A worker that is asked to stop finishes its tasks and ends in time."""
    return _promise("graceful", within=seconds(within))


def conservation(*, besides: Iterable[str] = ()) -> Promise:
    """Every record joins to an operation; `besides` names effects that no client asked for."""
    return _promise("conservation", besides=sorted(besides))


def faults_acted() -> Promise:
    """Every fault acted while an operation was in flight, and healed."""
    return _promise("faults_acted")


def backlog_within(most: int) -> Promise:
    """No more than so many messages ever wait."""
    return _promise("backlog_within", most=most)


def must_show(kind: str, *, under: Promise | None = None) -> Promise:
    """This anomaly appears: a known hole, written down. `under` is the promise that it breaks."""
    if under is None:
        finder_of(kind)
        return _promise("must_show", kind=kind)
    known(f"anomaly of {under.name}", kind, CHECKERS[known("promise", under.name, CHECKERS)].kinds)
    return _promise("must_show", kind=kind, under={"name": under.name, "args": dict(under.args)})
