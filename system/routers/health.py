"""Routes for health checks: liveness, readiness and statistics of the API."""

import math
from typing import Any

from anyio import sleep
from fastapi import APIRouter, Response

from system.metrics import exposition
from system.schemas import Health, Message, Problem, Readiness, Stats
from system.services import Shared
from system.store import Unusable
from system.tables import CONSUMING, SILENT
from system.work import EXAMPLE_SECONDS

router = APIRouter(tags=["health"])
probes = APIRouter(tags=["health"])  # who probes has no API key


@router.get("/")
async def root() -> Message:
    """Say hello; this route needs neither the broker nor the job store."""
    return Message(message="Hello World")


@router.get("/example")
async def example(services: Shared) -> Message:
    """Wait without blocking the event loop, as an async handler should: other requests are served meanwhile."""
    await sleep(EXAMPLE_SECONDS * services.settings.pace)
    return Message(message="Done")


@probes.get("/health-check")
async def health_check() -> Health:
    """Liveness: the API process answers, also when Redis is down."""
    return Health(status="ok")


@probes.get(
    "/health-check/ready",
    responses={503: {"model": Readiness, "description": "The job store or the broker is down, or no worker consumes"}},
)
async def ready(services: Shared, response: Response) -> Readiness:
    """Readiness: the job store answers, the broker answered the newest ping, and a worker takes messages. While the
    store or the broker is down, nothing is known of the workers."""
    reasons = {"store": "", "broker": "" if services.monitor.up else "the broker did not answer the newest ping"}
    try:
        silences = await services.stored(services.store.silences)
    except Unusable:
        reasons["store"] = "the job store can't be used"
    else:
        if services.monitor.up:
            reasons["worker"] = _no_worker(silences, services.settings.worker_patience)
    well = not any(reasons.values())
    response.status_code = 200 if well else 503
    return Readiness(
        status="ok" if well else "unavailable",
        parts={name: "down" if reason else "up" for name, reason in reasons.items()},
        reasons={name: reason for name, reason in reasons.items() if reason},
    )


def _no_worker(silences: dict[str, float], patience: float) -> str:
    """Why no worker takes messages; empty when a worker has told within `patience` seconds that it does."""
    silence = silences.get(CONSUMING)
    if silence is not None and silence <= patience:
        return ""
    since = "has ever told" if silence is None else f"has told for {silence:.0f} s"
    alive = "; a worker is alive, but messages wait" if silences.get(SILENT, math.inf) <= patience else ""
    return f"no worker {since} that it takes messages{alive}"


@router.get("/metrics", include_in_schema=False)
async def metrics(services: Shared) -> Response:
    """All metrics for Prometheus: the API's own, and what the job store knows of all processes."""
    text = await services.stored(lambda: exposition(services.store.stats()))  # it also reads /proc
    return Response(text, media_type="text/plain; version=0.0.4")


@router.get("/stats", responses={503: {"model": Problem, "description": "The job store can't be used"}})
async def stats(services: Shared) -> Stats:
    """Statistics of the job store: a growing backlog shows here before the API refuses jobs."""
    counted: dict[str, Any] = await services.stored(services.store.stats)
    return Stats(**counted, background=dict(services.background.counts))
