"""The client of a trial: it submits and waits for the result, as a process that calls Celery, or over HTTP."""

# ruff: noqa: ARG002 - two clients, one protocol

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from brownout.explore.direct import Direct, Message
from brownout.explore.mission import Mission
from brownout.plan.operation import Http

FINAL = ("SUCCESS", "FAILURE")
ASK_EVERY = 0.03  # s between two questions for a state
STORED = 10.0  # s for the API to say the state at the end; when it does not, nothing is known


@dataclass
class Knowledge:
    """What the client knows.

    `answered` is waiting, accepted, refused or dead, `told` waiting, read, unread, refused or dead. `tasks` are those
    whose results it waits for. `sent` and the events' times are in nanoseconds of the monotonic clock.
    """

    answered: str = "waiting"
    told: str = "waiting"
    tasks: tuple[str, ...] = ()
    sent: int = field(default_factory=time.monotonic_ns)
    events: list[tuple[int, str]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def learn(self, what: str, at: int | None = None, *, tasks: Sequence[str] = (), error: str = "") -> None:
        """Something came back."""
        if what == "accepted":
            self.answered, self.tasks = "accepted", tuple(tasks)
        elif what == "refused":
            self.answered = self.told = "refused"
        elif what in ("read", "unread") and self.told == "waiting":
            self.told = what
        self.events.append((time.monotonic_ns() if at is None else at, f"{what} {error}".strip()))
        self.changed.set()

    def died(self) -> None:
        """It is gone: what it had not been told, it will never know."""
        if self.answered == "waiting":
            self.answered = "dead"
        if self.told == "waiting":
            self.told = "dead"
        self.changed.set()

    @property
    def task(self) -> str | None:
        """The only task, or the first."""
        return self.tasks[0] if self.tasks else None

    @property
    def since(self) -> int:
        """ns of the newest thing that it learned, 0 for nothing."""
        return self.events[-1][0] if self.events else 0


class Client(Protocol):
    """Either of the two below."""

    def submit(self, keys: Sequence[str], task: str, within: float, *, plain: bool = False) -> Knowledge:
        """Send the workload (`plain`: one task of it); what is learned comes in by and by."""

    async def probe(self, direct: Direct, message: Message | None) -> Knowledge:
        """Send one more task, past the faulted network. Raises OSError."""

    async def stored(self, direct: Direct, task: str, about: Knowledge) -> frozenset[str]:
        """The final state that is stored for the task."""

    async def close(self) -> None:
        """It will not be asked again."""


class TaskClient:
    """Tells the process `brownout.explore.caller` what to do, over its unix socket."""

    def __init__(self, mission: Mission, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        #: What the process says of itself: `conf` and `layout`.
        self.told: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._mission, self._writer = mission, writer
        self._about = Knowledge()
        self._task = asyncio.get_running_loop().create_task(self._listen(reader))

    def submit(self, keys: Sequence[str], task: str, within: float, *, plain: bool = False) -> Knowledge:
        """See Client."""
        load, mission = self._mission.workload, self._mission
        kind = "task" if plain else load.kind
        order = {
            "kind": kind,
            "task": load.task or mission.task,
            "keys": list(keys),
            "args": mission.args,
            "kwargs": dict(mission.kwargs),
            "options": {**load.options, **({"task_id": task} if kind == "task" else {})},
            "body": load.body,
            "timeout": within,
        }
        self._about = Knowledge()
        self._writer.write(json.dumps(order).encode() + b"\n")
        return self._about

    async def probe(self, direct: Direct, message: Message | None) -> Knowledge:
        """See Client: a copy of the warm-up's message."""
        if message is None:
            raise RuntimeError("the warm-up published no message")
        about = Knowledge(tasks=(str(uuid.uuid4()),))
        await direct.push(message, str(about.task), message.place)
        return about

    async def stored(self, direct: Direct, task: str, about: Knowledge) -> frozenset[str]:
        """See Client: the result backend's. Raises what went wrong with reading from the caller."""
        if self._task.done():
            self._task.result()
        states = [await direct.stored(each) for each in about.tasks or (task,)]
        return frozenset(state or "nothing" for state in states)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            async for line in reader:
                said = json.loads(line)
                at, event = said.pop("at"), said.pop("event")
                if event == "ready":
                    self.told.set_result(said)
                else:
                    self._about.learn(event, at, tasks=said.get("tasks", ()), error=said.get("error", ""))
        except ConnectionError:
            pass
        except Exception as error:
            if not self.told.done():
                self.told.set_exception(error)
            raise
        finally:
            self._about.died()

    async def close(self) -> None:
        """See Client."""
        self._task.cancel()
        self._writer.transport.abort()
        self.told.cancel()
        await asyncio.gather(self._task, return_exceptions=True)  # `stored` has raised its error


class BeatClient:
    """Starts beat, whose schedule has one tick. Nobody waits for its result. `start` returns at once."""

    def __init__(self, start: Callable[[], None], other: Client) -> None:
        self._start, self._other = start, other

    def submit(self, keys: Sequence[str], task: str, within: float, *, plain: bool = False) -> Knowledge:
        """See Client: what is in the schedule is promised, and nobody reads its result."""
        self._start()
        return Knowledge(told="read")

    async def probe(self, direct: Direct, message: Message | None) -> Knowledge:
        """See Client."""
        return await self._other.probe(direct, message)

    async def stored(self, direct: Direct, task: str, about: Knowledge) -> frozenset[str]:
        """See Client: nobody asks."""
        return frozenset(FINAL[:1])

    async def close(self) -> None:
        """See Client."""
        await self._other.close()


#: Without an answer. anyio, on uvloop, asks a connection that has ended already for its socket, which is None by then.
UNANSWERED = (httpx.HTTPError, AttributeError)


class HttpClient:
    """Posts, then asks for the state until it is final. Speaks to the API directly: no fault lies between."""

    def __init__(self, mission: Mission, base: str, request: Http) -> None:
        self._application, self._request = mission.application, request
        # A server closes what is idle (uvicorn after 5 s), and a request that crosses that is answered by nobody.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.AsyncClient(base_url=base, timeout=10.0, limits=limits, trust_env=False)
        self._talks: list[asyncio.Task[None]] = []

    async def ready(self) -> None:
        """Return when the API says so. The caller limits the time."""
        while True:
            with suppress(*UNANSWERED):
                if (await self._http.get(self._application.ready)).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(0.01)

    def submit(self, keys: Sequence[str], task: str, within: float, *, plain: bool = False) -> Knowledge:
        """See Client."""
        about = Knowledge()
        self._talks.append(asyncio.get_running_loop().create_task(self._talk(about, within)))
        return about

    async def probe(self, direct: Direct, message: Message | None) -> Knowledge:
        """See Client: one more request."""
        return self.submit([], "", 0.0)

    async def stored(self, direct: Direct, task: str, about: Knowledge) -> frozenset[str]:
        """See Client: what the API says, once more. Raises TimeoutError after STORED, and what a talk has raised."""
        for talk in self._talks:
            if talk.done():
                talk.result()
        if about.task is None:
            return frozenset(FINAL[:1])  # nobody can ask
        async with asyncio.timeout(STORED):
            while True:  # it may be closing a connection that was idle, or be about to start again
                with suppress(*UNANSWERED, ValueError):
                    state = await self._state(about.task)
                    return frozenset([state] if state in FINAL else ())
                await asyncio.sleep(ASK_EVERY)

    async def _state(self, task: str) -> str:
        application = self._application
        answer: Mapping[str, Any] = (await self._http.get(str(application.status).format(task=task))).json()
        return str(answer.get(application.state))

    async def _talk(self, about: Knowledge, within: float) -> None:
        request = self._request
        try:
            response = await self._http.request(
                request.method, request.path, json=request.json, headers=dict(request.headers)
            )
        except UNANSWERED as error:  # nobody knows whether it was accepted
            about.learn("unanswered", error=type(error).__name__)
            about.died()
            return
        if response.status_code >= httpx.codes.BAD_REQUEST:
            about.learn("refused", error=str(response.status_code))
            return
        about.learn("accepted", tasks=(str(response.json()[self._application.task]),))
        give_up, state = time.monotonic() + within, "never asked"
        while time.monotonic() < give_up:
            try:
                state = await self._state(str(about.task))
            except (*UNANSWERED, ValueError) as error:
                state = type(error).__name__
            if state in FINAL:
                break
            await asyncio.sleep(ASK_EVERY)
        about.learn("read" if state == FINAL[0] else "unread", error="" if state == FINAL[0] else state)

    async def close(self) -> None:
        """See Client."""
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await self._http.aclose()
