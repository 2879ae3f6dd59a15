"""Is the process alive, can it do its work, what is it doing?"""

from typing import Any

from anyio import sleep
from fastapi import APIRouter, Response
from sqlalchemy.exc import SQLAlchemyError

from system.schemas import Health, Message, Problem, Stats
from system.services import Shared
from system.work import EXAMPLE_SECONDS

router = APIRouter(tags=["health"])


@router.get("/")
async def root() -> Message:
    """Say hello; needs neither the broker nor the store."""
    return Message(message="Hello World")


@router.get("/example")
async def example(services: Shared) -> Message:
    """Wait for I/O as an async handler should: others are served meanwhile."""
    await sleep(EXAMPLE_SECONDS * services.settings.pace)
    return Message(message="Done")


@router.get("/health-check")
async def health_check() -> Health:
    """Liveness: the process answers. It stays green when Redis is down."""
    return Health(status="ok")


@router.get("/health-check/ready", responses={503: {"model": Health, "description": "A part is down"}})
async def ready(services: Shared, response: Response) -> Health:
    """Readiness: the store answers now, and the broker answered the newest ping."""
    try:
        await services.stored(lambda: services.store.job(""))
        store = True
    except SQLAlchemyError:
        store = False
    parts = {"store": store, "broker": services.monitor.up}
    well = all(parts.values())
    response.status_code = 200 if well else 503
    return Health(
        status="ok" if well else "unavailable", parts={name: "up" if up else "down" for name, up in parts.items()}
    )


@router.get("/stats", responses={503: {"model": Problem, "description": "The store can't be used"}})
async def stats(services: Shared) -> Stats:
    """Counts to watch: a backlog that grows is seen here before it is refused."""
    counted: dict[str, Any] = await services.stored(services.store.stats)
    return Stats(**counted, background=dict(services.background.counts))
