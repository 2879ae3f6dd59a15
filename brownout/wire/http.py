"""As much HTTP/1.1 as a control API on the loopback needs: requests with a length, answers, keep-alive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

MAX_BODY = 1 << 20
READ_WITHIN = 15.0  # s, for a request that has begun: api.go, read_timeout
IDLE = 60.0  # s between requests


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """One answer."""

    status: int
    body: bytes = b""
    type: str = "application/json"


class Malformed(Exception):
    """Not a request that is understood; `args` are status and text."""


def parse(head: bytes) -> Request:
    """The line and the headers of a request, `head` ending in an empty line. Raises Malformed."""
    try:
        line, *rest = head.decode("latin-1").split("\r\n")[:-2]
        method, target, version = line.split(" ")
        pairs = [field.split(":", 1) for field in rest]
        headers = {name.lower(): value.strip() for name, value in pairs}
        path = unquote(urlsplit(target).path)
    except ValueError:
        raise Malformed(400, "400 Bad Request") from None
    if not version.startswith("HTTP/1.") or len(headers) < len(pairs) or any(not n or n != n.strip() for n in headers):
        raise Malformed(400, "400 Bad Request")
    if "transfer-encoding" in headers:
        raise Malformed(411, "Length Required")
    return Request(method, path, headers, b"")


def render(answer: Response, *, close: bool) -> bytes:
    """The bytes of an answer."""
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", f"Content-Type: {answer.type}"]
    if answer.status != 204:
        lines.append(f"Content-Length: {len(answer.body)}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + answer.body


async def listen(
    handler: Callable[[Request], Response], port: int, before: Callable[[], Awaitable[None]]
) -> asyncio.Server:
    """Serve on 127.0.0.1; `before` is awaited before each request is handled."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError, TimeoutError, asyncio.LimitOverrunError, asyncio.CancelledError):
            keep = True
            while keep:
                try:
                    async with asyncio.timeout(IDLE):
                        head = await reader.readuntil(b"\r\n\r\n")
                    request = parse(head)
                    length = request.headers.get("content-length", "0")
                    if not length.isdigit() or int(length) > MAX_BODY:
                        raise Malformed(413 if length.isdigit() else 400, "body too large")
                    async with asyncio.timeout(READ_WITHIN):
                        body = await reader.readexactly(int(length))
                    keep = request.headers.get("connection", "").lower() != "close"
                    await before()
                    answer = handler(Request(request.method, request.path, request.headers, body))
                except Malformed as wrong:
                    keep, answer = False, Response(wrong.args[0], wrong.args[1].encode(), "text/plain")
                await asyncio.sleep(0)  # what the handler aborted is closed before the answer says so
                writer.write(render(answer, close=not keep))
                await writer.drain()
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", port)
