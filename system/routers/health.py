"""Routes for health checks: liveness, readiness and statistics of the API."""

from typing import Any

from anyio import sleep
from fastapi import APIRouter, Response

from system.schemas import Health, Message, Problem, Stats
from system.services import Shared
from system.store import Unusable
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
    "/health-check/ready", responses={503: {"model": Health, "description": "The broker or the job store is down"}}
)
async def ready(services: Shared, response: Response) -> Health:
    """Readiness: the job store answers, and the broker answered the newest ping."""
    try:
        await services.stored(lambda: services.store.job(""))
        store = True
    except Unusable:
        store = False
    parts = {"store": store, "broker": services.monitor.up}
    well = all(parts.values())
    response.status_code = 200 if well else 503
    return Health(
        status="ok" if well else "unavailable", parts={name: "up" if up else "down" for name, up in parts.items()}
    )


@router.get("/stats", responses={503: {"model": Problem, "description": "The job store can't be used"}})
async def stats(services: Shared) -> Stats:
    """Statistics of the job store: a growing backlog shows here before the API refuses jobs."""
    counted: dict[str, Any] = await services.stored(services.store.stats)
    return Stats(**counted, background=dict(services.background.counts))
