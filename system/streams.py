"""Server-sent events. FastAPI knows their format; the limits on a client that is silent, or does not read, are here."""

import asyncio
import re
from collections.abc import AsyncIterator

from anyio import fail_after
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from system.job import Job
from system.schemas import status_of
from system.store import Unusable
from system.watch import Closed, Listener

PING_SECONDS = 15.0  # a proxy may end a connection that is silent for longer
SEND_SECONDS = 10.0  # a client that reads nothing for so long is dropped
LIFE_SECONDS = 300.0  # a client that is gone without a word is dropped; one that is there comes back and goes on
BACK_SECONDS = 1.0  # after which a client comes back
START = (-1, -1)


def position(last_event_id: str | None) -> tuple[int, int]:
    """What a client has seen, by the id of its last event; anything else counts as nothing seen."""
    found = re.fullmatch(r"(\d{1,9})\.([012])", last_event_id or "", re.ASCII)
    return (int(found[1]), int(found[2])) if found else START


async def events(listener: Listener, job: Job | None, seen: tuple[int, int]) -> AsyncIterator[bytes]:
    """The states of a job after `seen`, until the final one. The id of an event is the job's position."""
    loop = asyncio.get_running_loop()
    end = loop.time() + LIFE_SECONDS
    ping = loop.time() + PING_SECONDS
    yield format_sse_event(retry=round(BACK_SECONDS * 1_000))
    while job is not None:
        if job.position > seen:
            seen = job.position
            yield format_sse_event(data_str=status_of(job).model_dump_json(), id=f"{seen[0]}.{seen[1]}")
        if job.finished:
            return
        try:
            async with asyncio.timeout_at(min(ping, end)):
                job = await listener.next()
        except TimeoutError:
            if loop.time() >= end:
                return
            ping = loop.time() + PING_SECONDS
            yield KEEPALIVE_COMMENT
        except Unusable:
            continue  # an outage of the job store ends no stream: browsers do not come back after a 503
        except Closed:
            return


class Events(StreamingResponse):
    """A stream whose client must read. FastAPI's own class has no limit for that, and no end."""

    media_type = "text/event-stream"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises `TimeoutError` when the client reads nothing for `SEND_SECONDS`."""

        async def bounded(message: Message) -> None:
            with fail_after(SEND_SECONDS):
                await send(message)

        await super().__call__(scope, receive, bounded)
