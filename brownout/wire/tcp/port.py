"""The two sockets of a network edge: the first keeps the port bound, the second listens on the port."""

from __future__ import annotations

import socket

from brownout.wire.errors import BadRequest, WireError
from brownout.wire.tcp.address import joined, resolved

BACKLOG = 1024  # the largest number of connections that wait to be accepted


def bound(listen: str) -> socket.socket:
    """Return a socket that is bound to `host:port` and does not listen. Port 0 means any free port.

    An empty host means 127.0.0.1. Raises BadRequest for a host that is not the loopback, and WireError for a
    malformed address or a port that is taken.
    """
    host, port = _place(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Asyncio sets TCP_NODELAY only for a socket with this `proto`
    sock = socket.socket(family, proto=socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as wrong:
        sock.close()
        raise _taken(host, port, wrong) from None
    return sock


def listening(listen: str) -> socket.socket:
    """Return a non-blocking socket that listens on `host:port`. Raises the same errors as the function `bound`."""
    sock = bound(listen)
    try:
        sock.setblocking(False)
        # If another program uses the port, bind() still succeeds, because of the edge's own socket; only listen()
        # fails.
        sock.listen(BACKLOG)
    except OSError as wrong:
        sock.close()
        raise _taken(*_place(listen), wrong) from None
    return sock


def where(sock: socket.socket) -> str:
    """Return the `host:port` to which `sock` is bound."""
    return joined(*sock.getsockname()[:2])


def _place(listen: str) -> tuple[str, int]:
    try:
        host, port = resolved(listen)
    except WireError as wrong:
        raise WireError(f"listen tcp: {wrong}") from None
    host = host or "127.0.0.1"
    if not host.startswith("127.") and host != "::1":
        raise BadRequest(f"the built-in wire listens on the loopback alone, not on {host}; use 127.0.0.1")
    return host, port


def _taken(host: str, port: int, wrong: OSError) -> WireError:
    """Return the error for a port that is taken, with the text of Go and Toxiproxy."""
    return WireError(f"listen tcp {joined(host, port)}: bind: {(wrong.strerror or '').lower()}")
