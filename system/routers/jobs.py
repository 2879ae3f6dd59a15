"""Routes that submit jobs and tell their status. The API answers after the job is recorded and before its message is
published."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from anyio import from_thread
from fastapi import (
    APIRouter,
    Depends,
    Header,
    HTTPException,
    Response,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
)
from starlette.requests import HTTPConnection

from system.access import Owner, submitter_of
from system.job import Backlog, Job, KeyReused, Request
from system.metrics import ACCEPTED, DEDUPLICATED
from system.schemas import Accepted, Computation, Division, JsonObject, Key, Problem, TaskStatus, status_of
from system.services import Services, Shared
from system.store import Unusable
from system.streams import Events, events, position
from system.tracing import span
from system.watch import Closed, Listener, TooMany

log = logging.getLogger(__name__)
router = APIRouter(tags=["jobs"])
UNKNOWN_JOB = 4404
TRY_AGAIN_LATER = 1013  # the WebSocket close code "try again later" of IANA's registry

BUSY: dict[int | str, dict[str, Any]] = {
    503: {
        "model": Problem,
        "description": "No job was recorded: there are too many unfinished jobs, or the job store can't be used",
        "headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}},
    },
}
TOO_OFTEN: dict[int | str, dict[str, Any]] = {
    429: {
        "model": Problem,
        "description": "The owner submits too often",
        "headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}},
    },
}
SUBMISSION: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "The Idempotency-Key belongs to another request"},
    **TOO_OFTEN,
    **BUSY,
}


@dataclass(frozen=True)
class Submission:
    """Submits a job for an owner."""

    services: Services
    owner: str
    key: str | None

    async def accept(self, task: str, *args: Any) -> Accepted:
        """Record a job and leave its publishing to a thread. Raises `HTTPException` 409 and 503."""
        services, request = self.services, Request(task, args, self.key, owner=self.owner)
        try:
            with span("accept", request.id, first=True):
                job = await services.intake.accept(request)
        except KeyReused as error:
            raise HTTPException(409, str(error)) from None
        except Backlog as error:
            raise busy(services, error) from None
        new = job.id == request.id
        (ACCEPTED if new else DEDUPLICATED.labels("request")).inc()
        log.info("job %s (%s) is %s", job.id, task, "accepted" if new else "known", extra={"job": job.id})
        return Accepted(message="Task queued", task_id=job.id)


async def submission(
    connection: HTTPConnection, services: Shared, idempotency_key: Annotated[Key, Header()] = None
) -> Submission:
    """The FastAPI dependency that submits a job for the request's owner."""
    return Submission(services, submitter_of(connection, services), idempotency_key)


Submitted = Annotated[Submission, Depends(submission)]


def busy(services: Services, error: Backlog) -> HTTPException:
    """The answer to a request for which there is no room now."""
    return HTTPException(503, str(error), headers={"Retry-After": str(services.settings.retry_after)})


@router.post("/process", status_code=202, responses=SUBMISSION)
async def process(data: JsonObject, job: Submitted) -> Accepted:
    """Process any JSON object; for callers who won't ask how it went."""
    return await job.accept("system.process_data", data)


@router.post("/process-data", status_code=202, responses=SUBMISSION)
async def process_data(data: JsonObject, job: Submitted) -> Accepted:
    """Process any JSON object; ask `/task-status/{task_id}` how it goes."""
    return await job.accept("system.process_data", data)


@router.post("/start-task", status_code=202, responses=SUBMISSION)
def start_task(job: Submitted) -> Accepted:
    """Start a task from a sync handler, which FastAPI runs in a thread."""
    return from_thread.run(job.accept, "system.divide", 1.0, 2.0)


@router.post("/divide", status_code=202, responses=SUBMISSION)
async def divide(body: Division, job: Submitted) -> Accepted:
    """Divide two numbers, slowly; by zero is a FAILURE of the job, not of the request."""
    return await job.accept("system.divide", body.x, body.y)


@router.post("/compute", status_code=202, responses=SUBMISSION)
async def compute(body: Computation, job: Submitted) -> Accepted:
    """Compute a Fibonacci number on the queue for processor-bound work."""
    return await job.accept("system.fibonacci", body.n)


@router.post("/deliver", status_code=202, responses=SUBMISSION)
async def deliver(item: JsonObject, job: Submitted) -> Accepted:
    """Hand an item to the unreliable outside service, with retries."""
    return await job.accept("system.deliver", item)


UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "No job of this owner has this id, or the job's retention time is over"},
    503: {"model": Problem, "description": "The job store can't be used"},
}

STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "The states to come"},
    204: {"description": "The final state was the last event that the client has seen"},
    **UNKNOWN,
}


@router.get("/task-status/{task_id}", responses=UNKNOWN)
async def task_status(task_id: str, services: Shared, owner: Owner) -> TaskStatus:
    """Return a job's state from the job store, which knows the job from the answer 202 on."""
    return status_of(_own(await services.stored(lambda: services.store.job(task_id)), owner))


async def listening(task_id: str, services: Shared, connection: HTTPConnection) -> AsyncIterator[Listener]:
    """Listen to a job until the response is sent. Raises `HTTPException` 503, or its like for a WebSocket."""
    try:
        with services.watch.listener(task_id) as listener:
            yield listener
    except TooMany:
        if connection.scope["type"] == "websocket":
            raise WebSocketException(TRY_AGAIN_LATER, "too many listeners") from None
        raise HTTPException(503, "too many listeners") from None


Listening = Annotated[Listener, Depends(listening)]


@router.get("/task-status/{task_id}/stream", response_class=Response, responses=STREAM)
async def task_stream(
    owner: Owner, listener: Listening, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Send each change of a job's state as a server-sent event, until the state is final. A client that comes back with
    `Last-Event-ID` gets what it has missed of them, at least the newest state."""
    try:
        job = _own(await listener.next(), owner)
    except Closed:
        raise HTTPException(503, "this process shuts down") from None
    seen = position(last_event_id)
    if job.finished and job.position <= seen:
        return Response(status_code=204)  # which tells a browser not to come back
    return Events(events(listener, job, seen), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


@router.websocket("/task-status/{task_id}/events")
async def task_events(websocket: WebSocket, owner: Owner, listener: Listening) -> None:
    """Send each change of a job's state until the state is final. The close code is 4404 for an unknown job, and 1013
    when the job store can't be used.

    The server's pings end half-open connections (uvicorn: `--ws-ping-interval`, `--ws-ping-timeout`).
    """
    await websocket.accept()
    leaving = asyncio.create_task(_leave(websocket, listener))
    try:
        while True:
            job = await listener.next()
            if job is None or job.owner != owner:
                return await websocket.close(UNKNOWN_JOB)
            await websocket.send_json(status_of(job).model_dump())
            if job.finished:
                return await websocket.close()
    except (Closed, WebSocketDisconnect):
        return None
    except Unusable:  # the factory's handler answers HTTP only
        return await websocket.close(TRY_AGAIN_LATER)
    finally:
        leaving.cancel()


async def _leave(websocket: WebSocket, listener: Listener) -> None:
    """Drop the client's messages, and end its listener when it leaves."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
    listener.tell(Closed())


def _own(job: Job | None, owner: str) -> Job:
    """The job, if it is this owner's. The answer is the same for a foreign job and for an unknown one."""
    if job is None or job.owner != owner:
        raise HTTPException(404, "no job has this id")
    return job
