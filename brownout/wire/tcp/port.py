"""The sockets of an edge: one that keeps its port, and one that listens on it."""

from __future__ import annotations

import socket

from brownout.wire.errors import BadRequest, WireError
from brownout.wire.tcp.address import joined, resolved

BACKLOG = 1024  # connections that wait to be accepted


def bound(listen: str) -> socket.socket:
    """A socket that is bound to `host:port` and does not listen; port 0 is any free one.

    No host is 127.0.0.1. Raises BadRequest for a host that is not the loopback, and WireError for a malformed
    address and when the port is taken.
    """
    host, port = _place(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, proto=socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY where it sees this, alone
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as wrong:
        sock.close()
        raise _taken(host, port, wrong) from None
    return sock


def listening(listen: str) -> socket.socket:
    """A socket that listens on `host:port` and does not block. Raises as `bound` does."""
    sock = bound(listen)
    try:
        sock.setblocking(False)
        # Beside the socket that keeps the port, bind() succeeds even when another program has the port; this does not.
        sock.listen(BACKLOG)
    except OSError as wrong:
        sock.close()
        raise _taken(*_place(listen), wrong) from None
    return sock


def where(sock: socket.socket) -> str:
    """The `host:port` that it is bound to."""
    return joined(*sock.getsockname()[:2])


def _place(listen: str) -> tuple[str, int]:
    try:
        host, port = resolved(listen)
    except WireError as wrong:
        raise WireError(f"listen tcp: {wrong}") from None
    host = host or "127.0.0.1"
    if not host.startswith("127.") and host != "::1":
        raise BadRequest(f"the built-in wire listens on the loopback alone, not on {host}")
    return host, port


def _taken(host: str, port: int, wrong: OSError) -> WireError:
    """In Go's words, as Toxiproxy gives them."""
    return WireError(f"listen tcp {joined(host, port)}: bind: {(wrong.strerror or '').lower()}")
