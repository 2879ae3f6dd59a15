"""The clients of the subject. Each call of a client records an event `invoke` before it sends a request, and an outcome
after the answer."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx

from brownout.plan.operation import Call, Http, Submit
from brownout.probes.line import now
from brownout.probes.recorder import Recorder
from brownout.subject.application import Application
from brownout.subject.caller import Caller
from brownout.workload.answer import state_in
from brownout.workload.answer import task_of as task_of

#: The time-out of a request in seconds, longer than every bound that a scenario may promise.
TIMEOUT = 15.0
BODY = 1_000  # An event contains at most this many characters of an answer.
#: HTTP statuses of an API that may answer a later request: too many requests, bad gateway, unavailable, time-out.
UNAVAILABLE = (429, 502, 503, 504)
KEY_HEADER = "Idempotency-Key"


def filled(value: Any, key: str, n: int) -> Any:
    """Return the value with "{key}" and "{n}" replaced in every text inside it."""
    if isinstance(value, str):
        return value.replace("{key}", key).replace("{n}", str(n))
    if isinstance(value, dict):
        return {name: filled(item, key, n) for name, item in value.items()}
    return [filled(item, key, n) for item in value] if isinstance(value, list) else value


class HttpClient:
    """Sends requests to the API, over the network edge client->api."""

    def __init__(self, application: Application, address: str, recorder: Recorder) -> None:
        self._application, self._recorder = application, recorder
        self.tells_unread = False  # Whether to record that an answer has no id by which its status can be asked for.
        # Each request has a connection of its own: a server may close a kept connection just as a request is sent.
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=0)
        self._http = httpx.Client(base_url=f"http://{address}", timeout=TIMEOUT, limits=limits, trust_env=False)

    def call(self, operation: Http, key: str, n: int, intended: int) -> None:
        """Make one request and record its `invoke` and its outcome.

        An HTTP status up to 399 gives the outcome `ok`. An HTTP status of 4xx, or a refused connection, certainly means
        that nothing was done (`fail`). After a 5xx, a time-out or a broken connection nobody knows whether the request
        took effect: the outcome is `info`.
        """
        # Events contain the path with "{key}" instead of the key, so that promises can name the path.
        details: dict[str, Any] = {"op": "http", "method": operation.method, "path": operation.path}
        told: dict[str, Any] = (
            {} if self._application.status else {"result": False}
        )  # without an id no client can read the status of the job
        self._recorder.record("invoke", key=key, **details, **told, intended=intended)
        path = filled(operation.path, key, n)
        headers = {KEY_HEADER: key} if operation.method != "GET" else {}
        headers |= {name: filled(value, key, n) for name, value in operation.headers.items()}
        body: dict[str, Any] = {} if operation.json is None else {"json": filled(operation.json, key, n)}
        body |= {"data": filled(dict(operation.form), key, n)} if operation.form else {}
        try:
            answer = self._http.request(operation.method, path, headers=headers, **body)
        except httpx.ConnectError as error:
            self._recorder.record("fail", key=key, **details, intended=intended, error=_name(error))
        except httpx.HTTPError as error:
            self._recorder.record("info", key=key, **details, intended=intended, error=_name(error))
        else:
            status = answer.status_code
            kind = "ok" if status < 400 else "fail" if status < 500 else "info"
            asked, location = self._application.status, answer.headers.get("location", "")
            task, guessed = task_of(_json(answer), location, self._application.task, asked)
            task = key if asked and "{key}" in asked else task
            more: dict[str, Any] = {
                "status": status,
                "body": answer.text[:BODY],
                **({"guessed": True} if guessed else {}),
            }
            self._recorder.record(kind, key=key, task=task, **details, intended=intended, **more)
            if kind == "ok" and self.tells_unread and asked and task is None:
                why = f"{operation} was answered without an id: {more['body']}"
                self._recorder.record("unread", key=key, error=why)

    def read(self, key: str, task: str) -> bool:
        """Read and record a task's status, if the application has statuses. Returns True when the API has answered.

        An HTTP status in UNAVAILABLE does not count as an answer. Any other HTTP error is an answer that tells no
        status.
        """
        if self._application.status is None:
            return True
        invoked = now()
        try:
            path = self._application.status.replace("{task}", task).replace("{id}", task).replace("{key}", key)
            answer = self._http.get(path, timeout=5.0)
        except httpx.HTTPError:
            return False
        content, status = _json(answer), answer.status_code
        if status >= 400 or not isinstance(content, dict):
            return status not in UNAVAILABLE
        state = str(state_in(content, self._application.state))
        result = json.dumps(content.get(self._application.result))[:BODY]
        by: dict[str, Any] = {"by": "key"} if "{key}" in self._application.status else {}
        self._recorder.record("read", key=key, task=task, state=state, result=result, invoked=invoked, **by)
        return True

    def close(self) -> None:
        """Close the client's connections."""
        self._http.close()


class CeleryClient:
    """Sends tasks by their names to the broker. The messages come from a process that has imported the
    application's Celery app, see probes/caller.py."""

    def __init__(self, caller: Caller, recorder: Recorder) -> None:
        self._recorder, self._caller = recorder, caller

    def call(self, operation: Submit, key: str, n: int, intended: int) -> None:
        """Send one task whose id is `key`, and record the `invoke` and the outcome. Raises CallerEnded when the process
        that sends tasks has ended."""
        details: dict[str, Any] = {"op": "submit", "name": operation.task, "intended": intended}
        self._recorder.record("invoke", key=key, task=key, **details)
        args, kwargs = filled(list(operation.args), key, n), filled(dict(operation.kwargs), key, n)
        options = {"headers": {"idempotency_key": key}, **operation.options, "task_id": key}
        # After an error of kombu nobody knows whether the message was published.
        if error := self._caller.send(operation.task, args, kwargs, options):
            self._recorder.record("info", key=key, task=key, **details, error=error)
        else:
            self._recorder.record("ok", key=key, task=key, **details)


class CallingClient:
    """Calls tasks over the network edges client->broker and client->backend and waits for their results."""

    def __init__(self, caller: Caller, recorder: Recorder, within: float) -> None:
        self._recorder, self._caller, self._within = recorder, caller, within

    def call(self, operation: Call, key: str, n: int, intended: int) -> None:
        """Call a task. Record the events `invoke`, `ok` or `fail`, and, at the end of the wait for the result, `read`
        or `unread`.

        When the calling process ends before the outcome, nobody knows whether the task was sent (`info`). When the
        process ends after the outcome, nobody will read the result, and an event `left` is recorded.
        """
        effects = [key] if operation.effects == 1 else [f"{key}.{number + 1}" for number in range(operation.effects)]
        details: dict[str, Any] = {"op": "call", "name": operation.task, "effects": effects, "intended": intended}
        details |= {} if operation.result else {"result": False}
        args = None if operation.args is None else filled(list(operation.args), key, n)
        task = str(uuid.uuid4()) if operation.canvas == "task" else None
        order = {
            **{"task": operation.task, "args": args, "kwargs": filled(dict(operation.kwargs), key, n)},
            **{
                "canvas": operation.canvas,
                "effects": effects,
                "body": operation.body,
                "timeout": self._within,
                "result": operation.result,
            },
            "options": {**operation.options, **({"task_id": task} if task else {})},
        }
        self._recorder.record("invoke", key=key, task=task, **details)
        accepted = False
        for answer in self._caller.ask(order):
            event, at = answer["event"], answer["at"]
            if event == "accepted":
                accepted, tasks = True, answer["tasks"]
                self._recorder.record("ok", at=at, key=key, task=tasks[0], tasks=tasks)
            elif event == "refused":
                self._recorder.record("fail", at=at, key=key, error=answer["error"])
            elif event == "ended":
                self._recorder.record(
                    "left" if accepted else "info", at=at, key=key, error="the process that called the task ended"
                )
            elif event == "read":
                self._recorder.record("read", at=at, key=key, state="SUCCESS", result=str(answer["value"])[:BODY])
            else:
                self._recorder.record("unread", at=at, key=key, error=answer["error"])


def _name(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
