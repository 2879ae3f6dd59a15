"""Routes that submit jobs and tell their status. The API answers after the job is recorded and before its message is
published."""

import logging
from functools import partial
from typing import Annotated, Any

from anyio import from_thread, move_on_after
from fastapi import APIRouter, Header, HTTPException, WebSocket, WebSocketDisconnect

from system.job import Backlog, Job, KeyReused, Request
from system.schemas import Accepted, Computation, Division, JobError, JsonObject, Key, Problem, TaskStatus
from system.services import Services, Shared
from system.store import Unusable

log = logging.getLogger(__name__)
router = APIRouter(tags=["jobs"])
POLL_SECONDS = 0.1
TRY_AGAIN_LATER = 1013  # the WebSocket close code "try again later" of IANA's registry

BUSY: dict[int | str, dict[str, Any]] = {
    503: {
        "model": Problem,
        "description": "No job was recorded: there are too many unfinished jobs, or the job store can't be used",
        "headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}},
    },
}
SUBMISSION: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "The Idempotency-Key belongs to another request"},
    **BUSY,
}
IdempotencyKey = Annotated[Key, Header()]


async def accept(services: Services, task: str, *args: Any, key: str | None) -> Accepted:
    """Record a job and leave its publishing to a thread. Raises `HTTPException` 409 and 503."""
    try:
        job = await services.intake.accept(Request(task, args, key))
    except KeyReused as error:
        raise HTTPException(409, str(error)) from None
    except Backlog as error:
        raise busy(services, error) from None
    return Accepted(message="Task queued", task_id=job.id)


def busy(services: Services, error: Backlog) -> HTTPException:
    """The answer to a request for which there is no room now."""
    return HTTPException(503, str(error), headers={"Retry-After": str(services.settings.retry_after)})


@router.post("/process", status_code=202, responses=SUBMISSION)
async def process(data: JsonObject, services: Shared, idempotency_key: IdempotencyKey = None) -> Accepted:
    """Process any JSON object; for callers who won't ask how it went."""
    return await accept(services, "system.process_data", data, key=idempotency_key)


@router.post("/process-data", status_code=202, responses=SUBMISSION)
async def process_data(data: JsonObject, services: Shared, idempotency_key: IdempotencyKey = None) -> Accepted:
    """Process any JSON object; ask `/task-status/{task_id}` how it goes."""
    return await accept(services, "system.process_data", data, key=idempotency_key)


@router.post("/start-task", status_code=202, responses=SUBMISSION)
def start_task(services: Shared, idempotency_key: IdempotencyKey = None) -> Accepted:
    """Start a task from a sync handler, which FastAPI runs in a thread."""
    return from_thread.run(partial(accept, services, "system.divide", 1.0, 2.0, key=idempotency_key))


@router.post("/divide", status_code=202, responses=SUBMISSION)
async def divide(body: Division, services: Shared, idempotency_key: IdempotencyKey = None) -> Accepted:
    """Divide two numbers, slowly; by zero is a FAILURE of the job, not of the request."""
    return await accept(services, "system.divide", body.x, body.y, key=idempotency_key)


@router.post("/compute", status_code=202, responses=SUBMISSION)
async def compute(body: Computation, services: Shared, idempotency_key: IdempotencyKey = None) -> Accepted:
    """Compute a Fibonacci number on the queue for processor-bound work."""
    return await accept(services, "system.fibonacci", body.n, key=idempotency_key)


@router.post("/deliver", status_code=202, responses=SUBMISSION)
async def deliver(item: JsonObject, services: Shared, idempotency_key: IdempotencyKey = None) -> Accepted:
    """Hand an item to the unreliable outside service, with retries."""
    return await accept(services, "system.deliver", item, key=idempotency_key)


@router.get(
    "/task-status/{task_id}",
    responses={
        404: {"model": Problem, "description": "No job has this id, or the job's retention time is over"},
        503: {"model": Problem, "description": "The job store can't be used"},
    },
)
async def task_status(task_id: str, services: Shared) -> TaskStatus:
    """Return a job's state from the job store, which knows the job from the answer 202 on."""
    job = await services.stored(lambda: services.store.job(task_id))
    if job is None:
        raise HTTPException(404, "no job has this id")
    return _status(job)


@router.websocket("/task-status/{task_id}/events")
async def task_events(websocket: WebSocket, task_id: str, services: Shared) -> None:
    """Send each change of a job's state until the state is final. The close code is 4404 for an unknown job, and 1013
    when the job store can't be used.

    The server's pings end half-open connections (uvicorn: `--ws-ping-interval`, `--ws-ping-timeout`).
    """
    await websocket.accept()
    sent = None
    try:
        while True:
            job = await services.stored(lambda: services.store.job(task_id))
            if job is None:
                return await websocket.close(4404)
            if (job.state, job.attempts) != sent:
                await websocket.send_json(_status(job).model_dump())
                sent = (job.state, job.attempts)
            if job.finished:
                return await websocket.close()
            await _pause(websocket, POLL_SECONDS)
    except WebSocketDisconnect:
        return None
    except Unusable:  # the factory's handler answers HTTP only
        log.exception("the store can't be used")
        return await websocket.close(TRY_AGAIN_LATER)


async def _pause(websocket: WebSocket, seconds: float) -> None:
    """Wait one poll interval and drop the client's messages. Raises `WebSocketDisconnect` when the client leaves."""
    with move_on_after(seconds):
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))


def _status(job: Job) -> TaskStatus:
    error = None if job.error is None else JobError(**job.error)
    return TaskStatus(
        task_id=job.id, task_status=job.state.value, attempts=job.attempts, task_result=job.result, error=error
    )
