"""The clients that a plan's operations need, as one."""

from __future__ import annotations

import time

from brownout.history.operation import SAFE
from brownout.history.recorder import Recorder
from brownout.plan.operation import Http, Submit
from brownout.plan.plan import Plan
from brownout.subject.subject import Subject
from brownout.workload.client import CeleryClient, HttpClient


class Clients:
    """The clients that the plan's operations need."""

    def __init__(self, subject: Subject, recorder: Recorder) -> None:
        edge = subject.edges.get("client->api")
        self._http = HttpClient(subject.application, edge.address, recorder) if edge else None
        self._celery = CeleryClient(subject.sender, recorder) if subject.sender else None

    def call(self, operation: Http | Submit, key: str, n: int, intended: int) -> None:
        """Carry one operation out; from several threads at once."""
        if isinstance(operation, Http):
            assert self._http
            self._http.call(operation, key, n, intended)
        else:
            assert self._celery
            self._celery.call(operation, key, n, intended)

    def read(self, key: str, task: str) -> bool:
        """Read a task's status, where there is an API that tells it; False when the API did not answer."""
        return self._http is None or self._http.read(key, task)

    def probe(self, plan: Plan) -> None:
        """One more operation after everything has healed: a worker that lives and does not consume is found by it."""
        for load in plan.load:
            if isinstance(load.operation, Submit) or load.operation.method not in SAFE:
                return self.call(load.operation, "probe", 0, time.monotonic_ns())
        return None

    def close(self) -> None:
        """Close their connections."""
        if self._http:
            self._http.close()
