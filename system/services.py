"""The objects that all route handlers share; the factory makes them for each application, and a FastAPI dependency
gives them to the handlers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends
from starlette.requests import HTTPConnection

from system.background import Background
from system.celery_app import App
from system.intake import Intake
from system.monitor import BrokerMonitor
from system.publisher import Publisher
from system.rates import Rates
from system.settings import Settings
from system.store import Store
from system.watch import Watch

T = TypeVar("T")
STORE_THREADS = 16


@dataclass
class Services:
    """The shared objects of one API application."""

    settings: Settings
    celery: App
    store: Store
    publisher: Publisher
    monitor: BrokerMonitor
    background: Background = field(default_factory=Background)
    limiter: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(STORE_THREADS))

    @cached_property
    def intake(self) -> Intake:
        """Where the handlers hand their requests in."""
        return Intake(lambda *given: self.stored(lambda: self.store.accept_all(*given)), self.publisher.offer)

    @cached_property
    def rates(self) -> Rates:
        """How often each owner has submitted."""
        return Rates(self.settings.rate_limit)

    @cached_property
    def watch(self) -> Watch:
        """Who tells clients how their jobs change."""
        return Watch(lambda ids: self.stored(lambda: self.store.watched(ids)), self.settings.listener_limit)

    async def stored(self, call: Callable[[], T]) -> T:
        """Run a call of the job store in a thread that is not one of the forty threads of sync handlers."""
        return await to_thread.run_sync(call, limiter=self.limiter)


async def services_of(connection: HTTPConnection) -> Services:
    """Return the services of the application that handles this request.

    This dependency and all others are `async`: FastAPI calls a sync one in a thread, for each request, and when the
    threads are all taken, each request waits for one.
    """
    services = connection.app.state.services
    assert isinstance(services, Services)
    return services


Shared = Annotated[Services, Depends(services_of)]
