"""All clients that the operations of a plan need, with one common interface."""

from __future__ import annotations

import time

from brownout.history.operation import SAFE
from brownout.plan.operation import Call, Http, Operation, Submit, Tick
from brownout.plan.plan import Plan
from brownout.probes.line import now
from brownout.probes.recorder import Recorder
from brownout.subject.subject import Calls, Subject
from brownout.workload.client import CallingClient, CeleryClient, HttpClient

RESULT_WITHIN = 90.0  # seconds; a caller waits at most this time for the result of a task


def calls_of(plan: Plan) -> Calls:
    """Return what the plan's clients need a process of the application for: to read "results", only to "send" tasks, or
    nothing ("")."""
    operations = [load.operation for load in plan.load]
    if any(isinstance(operation, Call | Tick) for operation in operations):
        return "results"
    return "send" if any(isinstance(operation, Submit) for operation in operations) else ""


class Clients:
    """The clients that the plan's operations need."""

    def __init__(self, subject: Subject, recorder: Recorder, warm_up: float) -> None:
        """`warm_up` is the time in seconds that a task may take without a fault."""
        self._subject, self._recorder, self._within = subject, recorder, max(RESULT_WITHIN, 3 * warm_up)
        edge = subject.edges.get("client->api")
        self._http = HttpClient(subject.application, edge.address, recorder) if edge else None

    def call(self, operation: Operation, key: str, n: int, intended: int) -> None:
        """Carry out one operation of a load. Several threads may call this method at the same time."""
        if isinstance(operation, Http):
            assert self._http
            self._http.call(operation, key, n, intended)
        elif isinstance(operation, Tick):
            self._recorder.record("invoke", key=key, op="tick", name="beat", intended=intended)
            self._subject.launch("beat")
        else:
            assert self._subject.caller
            if isinstance(operation, Call):
                CallingClient(self._subject.caller, self._recorder, self._within).call(operation, key, n, intended)
            else:
                CeleryClient(self._subject.caller, self._recorder).call(operation, key, n, intended)

    def read(self, key: str, task: str) -> bool:
        """Read a task's status, if there is an API. Returns False if there was no answer from the API."""
        return self._http is None or self._http.read(key, task)

    def probe(self, plan: Plan) -> None:
        """Carry out one more operation after all faults have healed; it shows whether the workers take tasks."""
        for load in plan.load:
            operation = load.operation
            if isinstance(operation, Submit | Call) or (isinstance(operation, Http) and operation.method not in SAFE):
                return self.call(operation, "probe", 0, time.monotonic_ns())
        return None

    def tick(self, key: str) -> None:
        """Record that beat has sent, or tried to send, the task of its schedule; this counts as an accepted
        operation."""
        self._recorder.record("ok", key=key, at=now())

    def give_up(self, key: str, why: str) -> None:
        """Record that a caller has waited for its result for the longest allowed time, and now gives up."""
        self._recorder.record("unread", key=key, error=why)

    def tell_unread(self) -> None:
        """From now on, record an event for each answer without an id, because nobody can ask for the status of its
        job."""
        if self._http:
            self._http.tells_unread = True

    def close(self) -> None:
        """Close the connections of the clients."""
        if self._http:
            self._http.close()
