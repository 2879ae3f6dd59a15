"""Both ends of a connection through a wire, in the hands of one test. Sockets only; every wait has a deadline."""

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

PATIENCE = 10.0  # s: for what must happen; never a measure of speed
QUIET = 0.15  # s without a byte: silence, long after a byte on the loopback would have come


class HasPort(Protocol):
    @property
    def port(self) -> int: ...


@dataclass
class Upstream:
    """A listening server that does nothing by itself."""

    listener: socket.socket
    socks: list[socket.socket] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def connect(self, edge: HasPort) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", edge.port), timeout=PATIENCE)
        self.socks.append(sock)
        return sock

    def accept(self) -> socket.socket:
        sock, _ = self.listener.accept()
        sock.settimeout(PATIENCE)
        self.socks.append(sock)
        return sock

    def pair(self, edge: HasPort) -> tuple[socket.socket, socket.socket]:
        """Client and server of one new connection."""
        client = self.connect(edge)
        return client, self.accept()


@contextmanager
def upstream() -> Iterator[Upstream]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        up = Upstream(listener)
        try:
            yield up
        finally:
            for sock in up.socks:
                sock.close()


def exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        assert more, f"ended after {len(data)} of {size} bytes"
        data += more
    return data


def seconds(sock: socket.socket, data: bytes, via: socket.socket) -> float:
    """How long `data` needs from `via` to `sock`."""
    begun = time.monotonic()
    via.sendall(data)
    assert exactly(sock, len(data)) == data
    return time.monotonic() - begun


def ending(sock: socket.socket) -> tuple[bytes, str]:
    """What still comes, and how it ends: FIN or RST."""
    data = b""
    while True:
        try:
            more = sock.recv(65536)
        except OSError as wrong:
            return data, "RST" if wrong.errno == errno.ECONNRESET else str(wrong)
        if not more:
            return data, "FIN"
        data += more


def silent(sock: socket.socket) -> bool:
    """Nothing comes, not even an end."""
    sock.settimeout(QUIET)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(PATIENCE)
    return False


def refused(edge: HasPort) -> bool:
    try:
        socket.create_connection(("127.0.0.1", edge.port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False
