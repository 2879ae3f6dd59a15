"""Each mistake of the documents as a scene: load, fault, promises, and the anomalies that the wrong variant shows."""

from dataclasses import dataclass, field
from typing import Any

from brownout import (
    AfterFault,
    Fault,
    OnEvent,
    Promise,
    after,
    answers,
    at_least_once,
    at_most_once,
    backlog_within,
    conservation,
    drained,
    ended,
    event,
    flush,
    get,
    kill,
    latency,
    loop_never_stalls,
    nothing_raised,
    nothing_stuck,
    post,
    received,
    status_monotone,
    status_truthful,
    stop,
)
from brownout.plan.operation import Load
from examples.seeds.catalogue import MISTAKES

CATALOGUE = {mistake.name: mistake for mistake in MISTAKES}
#: What everybody may expect, under the first anomaly that each promise finds.
COMMON = {
    "lost": at_least_once(),
    "duplicate": at_most_once(),
    "undrained": drained(),
    "stuck": nothing_stuck(),
    "phantom": conservation(),
    "unhandled": nothing_raised(),
    "misanswered": answers({200}),
}


@dataclass(frozen=True)
class Scene:
    """`shows` are the anomalies of the wrong variant, all others' promises hold; the mended one keeps every promise.

    `promises` are more than, or instead of, the common ones. `fault` on `target` strikes at `when`; for the target
    "results" see the test. `service`: the service outside refuses its first call.
    """

    shows: frozenset[str]
    load: tuple[Load, ...]
    promises: dict[str, Promise] = field(default_factory=dict)
    fault: Fault | None = None
    target: str = ""
    when: OnEvent | None = None
    heal: OnEvent | AfterFault | None = None
    service: bool = False


def requests(mistake: str, every: str, count: int) -> Load:
    """The catalogue's request, again and again."""
    request = CATALOGUE[mistake].request
    json: Any = None if request.json is None else dict(request.json)
    return post(request.path, every=every, count=count, json=json)


def answered(nth: int, path: str = "/process") -> OnEvent:
    """On the nth answer of the API to its clients."""
    return event("ok", "client", nth, path=path)


SCENES = {
    "blocking_loop": Scene(
        frozenset({"stalled"}),
        # The first .delay() of a process imports kombu's transport: the fault strikes when that is over.
        (requests("blocking_loop", "200ms", 8), get("/", every="100ms", count=16)),
        {"stalled": loop_never_stalls("200ms")},
        latency("300ms"), "api->broker", answered(2), after("1500ms"),
    ),
    "background_error": Scene(
        frozenset({"lost", "unhandled"}),
        (requests("background_error", "150ms", 3),),
        service=True,
    ),
    "no_retry": Scene(
        frozenset({"lost"}),
        (requests("no_retry", "150ms", 3),),
        {"lost": at_least_once(or_failure=False)},  # nobody can read the failure: there is no result backend
        service=True,
    ),
    "overusing_background": Scene(
        frozenset({"lost"}),
        (requests("overusing_background", "100ms", 4),),
        {}, kill(), "api", answered(4),
    ),
    "not_monitoring": Scene(
        frozenset({"backlog"}),
        # The first request imports kombu's transport. The limit (BACKLOG_LIMIT) is 5, and all requests that look at the
        # same moment pass it together: once the transport is there they do not do so by the dozen.
        (requests("not_monitoring", "50ms", 1), requests("not_monitoring", "50ms", 24).on(answered(1))),
        {"backlog": backlog_within(14), "misanswered": answers({200, 503})},
        stop(), "worker-1", answered(1),  # until every request was sent
    ),
    "ignoring_results": Scene(
        frozenset({"stuck"}),
        (requests("ignoring_results", "100ms", 3),),
        {"zombie": status_monotone(), "misreported": status_truthful()},
    ),
    "cpu_on_loop": Scene(
        frozenset({"stalled"}),
        (requests("cpu_on_loop", "400ms", 2),),
        {"stalled": loop_never_stalls("200ms")},
    ),
    "acks_early": Scene(
        frozenset({"lost"}),
        (requests("acks_early", "100ms", 4),),
        # A worker that fetches one message at a time takes the second when it has sent the first one's early ack.
        {}, kill(), "worker-1", received(2),
    ),
    "short_visibility": Scene(
        frozenset({"duplicate"}),
        (requests("short_visibility", "100ms", 2),),
    ),
    "failure_result": Scene(
        frozenset({"unhandled"}),
        (requests("failure_result", "100ms", 3),),
    ),
    "one_database": Scene(
        frozenset({"lost"}),
        (requests("one_database", "20ms", 16),),
        {}, flush(), "results", ended(2),
    ),
}  # fmt: skip
