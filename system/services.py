"""What the handlers share: one object for each application, made by the factory, handed out by dependency."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends
from starlette.requests import HTTPConnection

from system.background import Background
from system.celery_app import App
from system.monitor import BrokerMonitor
from system.publisher import Publisher
from system.settings import Settings
from system.store import Store

T = TypeVar("T")
STORE_THREADS = 16


@dataclass(frozen=True)
class Services:
    """The parts of one application."""

    settings: Settings
    celery: App
    store: Store
    publisher: Publisher
    monitor: BrokerMonitor
    background: Background = field(default_factory=Background)
    limiter: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(STORE_THREADS))

    async def stored(self, call: Callable[[], T]) -> T:
        """Run a call of the store in a thread, apart from the forty that sync handlers share."""
        return await to_thread.run_sync(call, limiter=self.limiter)


def services_of(connection: HTTPConnection) -> Services:
    """The services of the application that got this request."""
    services = connection.app.state.services
    assert isinstance(services, Services)
    return services


Shared = Annotated[Services, Depends(services_of)]
