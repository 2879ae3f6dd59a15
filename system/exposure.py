"""Without API keys the API serves this machine only. Its addresses are read from its sockets, so it does not matter
which server runs it, and how the server was told its address."""

import asyncio
import ipaddress
import json
import logging
import os
import signal
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from system.schemas import Problem

log = logging.getLogger(__name__)
WATCH_SECONDS = 10.0  # a server opens its sockets soon after the application has started
LOOK_SECONDS = 0.1
WARNING = "SYSTEM_API_KEYS names no key: all jobs have one owner, and the API serves this machine only"
ELSEWHERE: dict[int | str, dict[str, Any]] = {
    403: {"model": Problem, "description": "The request does not come from this machine, or from a page of it"}
}
REFUSAL = "SYSTEM_API_KEYS names no key, so the API may listen on a loopback address only; it listens on %s"


def loopback(host: str) -> bool:
    """Whether this IP address or host name is reached from this machine only."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def listening() -> list[str]:
    """The addresses on which this process listens for connections over a network."""
    found: list[str] = []
    for number in [int(path.name) for path in Path("/dev/fd").iterdir()]:
        with suppress(OSError):  # it was closed meanwhile
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            own = socket.socket(fileno=number)
            try:
                over_a_network = own.family in (socket.AF_INET, socket.AF_INET6)
                if over_a_network and own.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.append(str(own.getsockname()[0]))
            finally:
                own.detach()  # it stays open: it is the server's
    return found


def refuse_exposure() -> None:
    """Raises `RuntimeError` when this process listens on an address that other machines may reach."""
    if exposed := [host for host in listening() if not loopback(host)]:
        raise RuntimeError(REFUSAL % ", ".join(exposed))


async def watch_exposure() -> None:
    """Look at the sockets for a while, because uvicorn opens them after the start; end the process when one is open to
    other machines."""
    loop = asyncio.get_running_loop()
    end = loop.time() + WATCH_SECONDS
    while loop.time() < end:
        try:
            await asyncio.to_thread(refuse_exposure)
        except RuntimeError as error:
            log.critical("%s", error)
            return os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(LOOK_SECONDS)
    return None


class LocalOnly:
    """ASGI middleware that answers 403 to what may come from elsewhere: a connection to an address that other machines
    reach, which may come before the process has ended; and what a page of another site makes a browser send, by a form
    (`Origin`) or by a name that leads to this machine (`Host`)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what comes from this machine."""
        if scope["type"] == "lifespan" or self._from_here(scope):
            return await self._app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})  # not accepted yet: the server answers 403
        body = json.dumps({"detail": "without API keys this API serves its own machine only"}).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        return await send({"type": "http.response.body", "body": body})

    def _from_here(self, scope: Scope) -> bool:
        host, _ = scope.get("server") or ("", None)  # no IP address: a Unix socket
        with suppress(ValueError):
            ipaddress.ip_address(host.partition("%")[0])
            if not loopback(host):
                return False
        headers = Headers(scope=scope)
        named = [f"//{headers['host']}"] if "host" in headers else []
        with suppress(ValueError):
            return all(loopback(urlsplit(url).hostname or "") for url in [*named, *headers.getlist("origin")])
        return False
