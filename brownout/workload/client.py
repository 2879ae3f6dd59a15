"""The clients of the subject: each call says what it intends before it sends, and what it learnt after."""

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

#: Longer than every bound that a scenario may promise; an answer that takes longer is none.
TIMEOUT = 15.0
BODY = 1_000  # characters of an answer that are kept
#: HTTP statuses of an API that may answer later: too many requests, bad gateway, unavailable, gateway time-out.
AWAY = (429, 502, 503, 504)
KEY_HEADER = "Idempotency-Key"


def filled(value: Any, key: str, n: int) -> Any:
    """The value with "{key}" and "{n}" replaced in every text of it."""
    if isinstance(value, str):
        return value.replace("{key}", key).replace("{n}", str(n))
    if isinstance(value, dict):
        return {name: filled(each, key, n) for name, each in value.items()}
    return [filled(each, key, n) for each in value] if isinstance(value, list) else value


class HttpClient:
    """Sends requests to the API over the edge client->api."""

    def __init__(self, application: Application, address: str, recorder: Recorder) -> None:
        self._application, self._recorder = application, recorder
        # A connection for each request: on a kept one, a server that closes it races with the next request.
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=0)
        self._http = httpx.Client(base_url=f"http://{address}", timeout=TIMEOUT, limits=limits, trust_env=False)

    def call(self, operation: Http, key: str, n: int, intended: int) -> None:
        """Make one request and record its `invoke` and its outcome.

        Up to 399 it is `ok`; 4xx is a definite `fail`, and so is a refused connection; of a 5xx, a time-out or a broken
        connection nobody knows what it did: `info`.
        """
        asked: dict[str, Any] = {"op": "http", "method": operation.method, "path": operation.path}
        self._recorder.record("invoke", key=key, **asked, intended=intended)
        path = filled(operation.path, key, n)  # told as the route has it, so that promises can name it
        headers = {KEY_HEADER: key} if operation.method != "GET" else {}
        headers |= {name: filled(value, key, n) for name, value in operation.headers.items()}
        body: dict[str, Any] = {} if operation.json is None else {"json": filled(operation.json, key, n)}
        try:
            answer = self._http.request(operation.method, path, headers=headers, **body)
        except httpx.ConnectError as error:
            self._recorder.record("fail", key=key, **asked, intended=intended, error=_name(error))
        except httpx.HTTPError as error:
            self._recorder.record("info", key=key, **asked, intended=intended, error=_name(error))
        else:
            status = answer.status_code
            kind = "ok" if status < 400 else "fail" if status < 500 else "info"
            content = _json(answer)
            task = content.get(self._application.task) if isinstance(content, dict) else None
            told = answer.text[:BODY]
            self._recorder.record(kind, key=key, task=task, **asked, intended=intended, status=status, body=told)

    def read(self, key: str, task: str) -> bool:
        """Read and record a task's status, where the application tells one; whether the API has answered.

        One that is away for a while (AWAY) has not. Any other error is its answer, and tells no status.
        """
        if self._application.status is None:
            return True
        invoked = now()
        try:
            answer = self._http.get(self._application.status.replace("{task}", task), timeout=5.0)
        except httpx.HTTPError:
            return False
        content, status = _json(answer), answer.status_code
        if status >= 400 or not isinstance(content, dict):
            return status not in AWAY
        state = str(content.get(self._application.state))
        result = json.dumps(content.get(self._application.result))[:BODY]
        self._recorder.record("read", key=key, task=task, state=state, result=result, invoked=invoked)
        return True

    def close(self) -> None:
        """Close its connections."""
        self._http.close()


class CeleryClient:
    """Sends tasks by name over the edge client->broker, through the application (see probes/caller.py)."""

    def __init__(self, caller: Caller, recorder: Recorder) -> None:
        self._recorder, self._caller = recorder, caller

    def call(self, operation: Submit, key: str, n: int, intended: int) -> None:
        """Send one task under an id that is its key, and record `invoke` and outcome. Raises CallerEnded."""
        asked: dict[str, Any] = {"op": "submit", "name": operation.task, "intended": intended}
        self._recorder.record("invoke", key=key, task=key, **asked)
        args, kwargs = filled(list(operation.args), key, n), filled(dict(operation.kwargs), key, n)
        options = {"headers": {"idempotency_key": key}, **operation.options, "task_id": key}
        # Whatever kombu raises: the message may be there or not.
        if error := self._caller.send(operation.task, args, kwargs, options):
            self._recorder.record("info", key=key, task=key, **asked, error=error)
        else:
            self._recorder.record("ok", key=key, task=key, **asked)


class CallingClient:
    """Calls tasks over the edges client->broker and client->backend and waits for their results."""

    def __init__(self, caller: Caller, recorder: Recorder, within: float) -> None:
        self._recorder, self._caller, self._within = recorder, caller, within

    def call(self, operation: Call, key: str, n: int, intended: int) -> None:
        """Call, and record `invoke`, what came of the call (`ok`, `fail`) and of its result (`read`, `unread`).

        When the process ends meanwhile, nobody knows what it has done (`info`), or will ever know the result (`left`).
        """
        effects = [key] if operation.effects == 1 else [f"{key}.{number + 1}" for number in range(operation.effects)]
        asked: dict[str, Any] = {"op": "call", "name": operation.task, "effects": effects, "intended": intended}
        args = None if operation.args is None else filled(list(operation.args), key, n)
        task = str(uuid.uuid4()) if operation.canvas == "task" else None
        order = {
            **{"task": operation.task, "args": args, "kwargs": filled(dict(operation.kwargs), key, n)},
            **{"canvas": operation.canvas, "effects": effects, "body": operation.body, "timeout": self._within},
            "options": {**operation.options, **({"task_id": task} if task else {})},
        }
        self._recorder.record("invoke", key=key, task=task, **asked)
        accepted = False
        for answer in self._caller.ask(order):
            event, at = answer["event"], answer["at"]
            if event == "accepted":
                accepted, tasks = True, answer["tasks"]
                self._recorder.record("ok", at=at, key=key, task=tasks[0], tasks=tasks)
            elif event == "refused":
                self._recorder.record("fail", at=at, key=key, error=answer["error"])
            elif event == "ended":
                self._recorder.record("left" if accepted else "info", at=at, key=key, error="its caller ended")
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
