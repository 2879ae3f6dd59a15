"""The application factory, which creates the parts of the API and connects them."""

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from types import FrameType

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from system.access import REFUSED, Bearer, KeysOnly
from system.celery_app import make_celery
from system.exposure import ELSEWHERE, WARNING, LocalOnly, refuse_exposure, watch_exposure
from system.limits import BodyLimit
from system.metrics import note, watch_loop
from system.monitor import BrokerMonitor, Ping, redis_ping
from system.publisher import Publisher, send
from system.routers import background, dead_letters, health, jobs
from system.schemas import Invalid, Problem
from system.services import Services
from system.settings import Settings, get_settings
from system.store import Store, Unusable

log = logging.getLogger(__name__)
DRAIN_SECONDS = 5.0


def create_app(settings: Settings | None = None, *, ping: Ping | None = None) -> FastAPI:
    """Return a new FastAPI application. I/O begins only with the application's lifespan. The application starts and
    accepts jobs also without a broker.

    `ping` tells whether the broker answers (default: Redis's PING).
    """
    settings = settings or get_settings()
    services = _services(settings, ping or redis_ping(settings))
    app = FastAPI(
        title=settings.app_name,
        lifespan=_lifespan,
        openapi_url=None if settings.api_keys else "/openapi.json",  # the pages of the documentation go with it
        responses={
            400: {"model": Problem, "description": "The body can't be read"},
            413: {"model": Problem, "description": "The body is too large"},
            422: {"model": Invalid, "description": "Something in the request is not valid"},
        },
    )
    app.state.services = services
    app.add_middleware(BodyLimit, limit=settings.body_limit)
    if settings.api_keys:
        app.add_middleware(KeysOnly, keys=settings.api_keys)
    else:
        app.add_middleware(LocalOnly)
    app.add_exception_handler(RequestValidationError, _invalid)
    for kind in Unusable:
        app.add_exception_handler(kind, _store_unavailable)
    keyed = [Depends(Bearer())] if settings.api_keys else []
    refused = REFUSED if settings.api_keys else ELSEWHERE
    for module in (jobs, health, dead_letters, background):  # the routes are tried in order
        app.include_router(module.router, dependencies=keyed, responses=refused)
    app.include_router(health.probes, responses={} if settings.api_keys else ELSEWHERE)
    return app


def _services(settings: Settings, ping: Ping) -> Services:
    store = Store(settings)
    celery = make_celery(settings, store)
    return Services(
        settings=settings,
        celery=celery,
        store=store,
        publisher=Publisher(partial(send, celery), partial(note, store.published), settings.publish_lease),
        monitor=BrokerMonitor(ping, settings.monitor_seconds, settings.broker_timeout),
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    beside = [services.monitor.run, watch_loop]
    if not services.settings.api_keys:
        log.warning(WARNING)
        await asyncio.to_thread(refuse_exposure)
        beside.append(watch_exposure)
    await asyncio.to_thread(_build_routes, app)
    await services.stored(services.store.create)
    services.publisher.start()
    running = [asyncio.create_task(work()) for work in beside]
    try:
        with at_shutdown(services.watch.close):
            yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if not await asyncio.to_thread(services.publisher.stop, DRAIN_SECONDS):
            log.warning("some jobs were not published; the relay will publish them")
        await services.stored(services.store.close)


def _build_routes(app: FastAPI) -> None:
    """FastAPI (0.163 and later) makes the models of included routes at the first request, and the event loop stands
    still meanwhile, 60 to 120 ms for these routes. This function makes the models before the application is ready.
    `nothing` matches no route, so the search visits all routes."""
    nothing = {"type": "http", "method": "-", "path": "/-", "root_path": "", "path_params": {}, "headers": []}
    for route in app.routes:
        route.matches(dict(nothing))


@contextmanager
def at_shutdown(call: Callable[[], None]) -> Iterator[None]:
    """Call `call` in the event loop when a signal asks the server to end. The server waits for open streams before the
    lifespan ends, so without this no stream would end. Only a server's own handler is taken up: it is called, too."""
    loop = asyncio.get_running_loop()
    before: dict[int, Callable[[int, FrameType | None], object]] = {}
    main = threading.current_thread() is threading.main_thread()

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(call)
        before[number](number, frame)

    for name in (signal.SIGTERM, signal.SIGINT):
        handler = signal.getsignal(name)
        if main and callable(handler) and handler is not signal.default_int_handler:
            before[name] = handler
            signal.signal(name, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    # FastAPI's own handler repeats the client's input, which may be secret, or may be no JSON and so cause a 500.
    assert isinstance(error, RequestValidationError)
    reasons = [{"loc": list(e["loc"]), "msg": e["msg"], "type": e["type"]} for e in error.errors()]
    return JSONResponse({"detail": reasons}, 422)


async def _store_unavailable(request: Request, error: Exception) -> JSONResponse:
    log.error("the job store can't be used", exc_info=error)
    services: Services = request.app.state.services
    retry_after = {"Retry-After": str(services.settings.retry_after)}
    return JSONResponse({"detail": "the job store can't be used"}, 503, retry_after)
