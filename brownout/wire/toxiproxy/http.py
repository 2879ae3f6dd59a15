"""The HTTP/1.1 server of the control API: h11 parses and writes HTTP, asyncio transports the bytes."""

from __future__ import annotations

import asyncio
import posixpath
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import unquote

import h11

MAX_HEAD = 1 << 20  # The limit for the bytes of request line and headers, as in Go's net/http.
MAX_BODY = 1 << 20  # The limit for the bytes of a request's body.
READ_WITHIN = 15.0  # Seconds; the time for a complete request from its first byte on, as ReadTimeout in api.go.
SEND_WITHIN = 30.0  # Seconds; the time for a client to read an answer, as WriteTimeout in api.go.
IDLE = 60.0  # Seconds; the longest time between two requests of a connection.
# Seconds; the connection of a refused client is closed this late, because a close with unread bytes would send RST (as
# in Go's net/http).
LINGER = 0.5
ABSOLUTE = re.compile("[A-Za-z][A-Za-z0-9+.-]*://[^/?]*")
BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request to the API. Names of headers are in lower case; percent escapes in `path` are decoded."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    query: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response of the API. `type` is the Content-Type; the header is left out if `type` is empty."""

    status: int
    body: bytes = b""
    type: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class Refused(Exception):
    """A request that the server answers without the handler; it then closes the connection. The arguments of this
    exception are the HTTP status and the text of the answer."""


def request_of(event: h11.Request) -> Request:
    """Return the request that h11 has parsed, after the checks of Go's net/http. Raises Refused for a request that Go's
    server refuses."""
    if not event.http_version.startswith(b"1."):
        raise Refused(505, "505 HTTP Version Not Supported: unsupported protocol version")
    headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
    if headers.get("expect", "100-continue").lower() != "100-continue":
        raise Refused(417, "")
    target = event.target.decode()
    absolute = ABSOLUTE.match(target)
    path, _, query = target[absolute.end() if absolute else 0 :].partition("?")
    if BAD_ESCAPE.search(path) or not (absolute or path == "*" or path.startswith("/")):
        raise Refused(400, "400 Bad Request")
    # A byte that is not UTF-8 becomes a lone surrogate, so the path matches no name.
    return Request(event.method.decode(), unquote(path, errors="surrogateescape"), headers, query=query)


def host_of(header: str) -> str:
    """Return the host of a Host header, in lower case and without the port."""
    head, bracket, _port = header.lower().partition("]")
    return head + bracket if bracket else head.partition(":")[0]


def cleaned(path: str) -> str:
    """Return a path as gorilla/mux cleans it: without `.`, `..` and empty segments, except at its end."""
    clean = "/" + posixpath.normpath("/" + path).lstrip("/")
    return clean + "/" if path.endswith("/") and clean != "/" else clean


class Connection:
    """The connection of one client of the API."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._method = ""  # the current request

    async def serve(self, handler: Callable[[Request], Response], before: Callable[[], Awaitable[None]]) -> None:
        """Answer requests until the client or the server closes the connection. Raises OSError or TimeoutError if the
        client has left."""
        while True:
            try:
                request = await self._request()
                if request is None:
                    return
                await before()
                answer = handler(request)
            except h11.RemoteProtocolError as wrong:
                status = HTTPStatus(wrong.error_status_hint)
                await self._refuse(status, f"{status} {status.phrase}")
                return
            except Refused as wrong:
                await self._refuse(*wrong.args)
                return
            await asyncio.sleep(0)  # close the connections that the handler has aborted, before the answer is sent
            await self._answer(answer)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(1 << 16))
        return event  # type: ignore[return-value]  # never NEED_DATA

    async def _request(self) -> Request | None:
        """Return the next request, with its body, or None when the client has closed the connection."""
        self._method = ""
        if not self._http.trailing_data[0]:
            async with asyncio.timeout(IDLE):
                self._http.receive_data(await self._reader.read(1 << 16))
        try:
            async with asyncio.timeout(READ_WITHIN):
                return await self._with_body()
        except TimeoutError:
            if not self._method:
                raise
            raise Refused(503, "") from None

    async def _with_body(self) -> Request | None:
        event = await self._event()
        if not isinstance(event, h11.Request):
            return None
        self._method = event.method.decode()
        request, body = request_of(event), bytearray()
        if self._http.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
        while isinstance(data := await self._event(), h11.Data):
            body += data.data
            if len(body) > MAX_BODY:
                raise Refused(413, f"the body has more than {MAX_BODY} bytes, which is the limit")
        return replace(request, body=bytes(body))

    async def _refuse(self, status: int, text: str) -> None:
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        await self._answer(Response(status, text.encode(), TEXT if text else "", (("Connection", "close"),)))
        if self._writer.can_write_eof():
            self._writer.write_eof()
        async with asyncio.timeout(LINGER):
            while await self._reader.read(1 << 16):
                pass

    async def _answer(self, answer: Response) -> None:
        headers = [("Content-Type", answer.type)] if answer.type else []
        if answer.type == TEXT:
            headers.append(("X-Content-Type-Options", "nosniff"))
        headers += [*answer.headers, ("Date", formatdate(usegmt=True))]
        if answer.status != 204:
            headers.append(("Content-Length", str(len(answer.body))))
        head = h11.Response(status_code=answer.status, headers=headers, reason=HTTPStatus(answer.status).phrase)
        body = [h11.Data(data=answer.body)] if answer.body and self._method != "HEAD" else []
        await self._send(head, *body, h11.EndOfMessage())

    async def _send(self, *events: h11.Event) -> None:
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        try:
            async with asyncio.timeout(SEND_WITHIN):
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()  # abort, because close() would wait until the client has read everything
            raise


async def listen(
    handler: Callable[[Request], Response], port: int, before: Callable[[], Awaitable[None]]
) -> asyncio.Server:
    """Listen on 127.0.0.1 and answer requests; await `before` before each request is handled."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, TimeoutError, asyncio.CancelledError):
                await Connection(reader, writer).serve(handler, before)
        finally:
            writer.close()

    return await asyncio.start_server(connected, "127.0.0.1", port)
