"""The table of docs/toxiproxy.md: what the built-in wire and toxiproxy-server do as TCP proxies without a toxic."""

import hashlib
import re
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kit.toxiproxy_servers import Api
from tests.kit.wire_peers import Upstream, ending, exactly, seconds, upstream

Ends = tuple[socket.socket, socket.socket]
TABLE = (Path(__file__).parents[2] / "docs/toxiproxy.md").read_text().partition("## As a TCP proxy")[2]
ROWS: dict[str, tuple[str, str]] = {
    case: (ours, theirs) for case, ours, theirs in re.findall(r"^\| (.*) \| (.*) \| (.*) \|$", TABLE, re.MULTILINE)[1:]
}
LINGER_0 = b"\x01\0\0\0\0\0\0\0"
MANY = 2000
LARGE = 200 << 20  # bytes
HELD = 64 << 20  # bytes that may be under way when nobody reads: the buffers of four sockets, and of the proxy


class Proxy:
    """One proxy of one server, by its port."""

    def __init__(self, api: Api, up: Upstream) -> None:
        api.clear()
        body = f'{{"name":"p","listen":"127.0.0.1:@0","upstream":"{up.address}"}}'
        assert api.ask("POST", "/proxies", body.encode()).status == 201
        self.port, self.up = api.ports[0], up

    def pair(self) -> Ends:
        """Client and server of a connection that is open all the way."""
        client, server = self.up.pair(self)
        seconds(client, b"open", server)
        return client, server


def after_a_half_close(one: socket.socket, other: socket.socket) -> bool:
    """Does what the other says still arrive?"""
    one.sendall(b"last words")
    one.shutdown(socket.SHUT_WR)
    assert ending(other) == (b"last words", "FIN")
    try:
        other.sendall(b"the answer")
        other.close()
    except OSError:
        return False
    return ending(one) == (b"the answer", "FIN")


def client_half_closes(proxy: Proxy) -> str:
    client, server = proxy.pair()
    return f"the answer {'arrives' if after_a_half_close(client, server) else 'is lost'}"


def upstream_half_closes(proxy: Proxy) -> str:
    client, server = proxy.pair()
    return f"the request {'arrives' if after_a_half_close(server, client) else 'is lost'}"


def reset(one: socket.socket, other: socket.socket) -> str:
    """How the other hears of it."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
    one.close()
    return ending(other)[1]


def client_resets(proxy: Proxy) -> str:
    return reset(*proxy.pair())


def upstream_resets(proxy: Proxy) -> str:
    return reset(*proxy.pair()[::-1])


def many_connections(proxy: Proxy) -> str:
    pairs = [proxy.pair() for _ in range(MANY)]
    for client, server in pairs:
        seconds(server, b"question", client)
        seconds(client, b"answer", server)
    return "all work"


def nobody_reads(proxy: Proxy) -> str:
    """Neither endless memory nor a lost byte. Three waits without a byte taken are no mere pause of a busy machine."""
    client, server = proxy.pair()
    sent, waits, block = 0, 0, bytes(range(256)) * 256
    server.settimeout(0.5)
    while sent <= HELD and waits < 3:
        try:
            sent += server.send(block[sent % 256 :])
            waits = 0
        except TimeoutError:
            waits += 1
    server.shutdown(socket.SHUT_WR)
    expected = bytes(range(256)) * (sent // 256 + 1)
    assert exactly(client, sent) == expected[:sent]
    return "the upstream waits" if sent <= HELD else "everything is taken"


def large(proxy: Proxy) -> str:
    client, server = proxy.pair()
    block, wanted = bytes(range(251)) * 4096, hashlib.sha256()

    def send() -> None:
        for _ in range(LARGE // len(block)):
            server.sendall(block)

    sender = threading.Thread(target=send)
    sender.start()
    got, size = hashlib.sha256(), 0
    for _ in range(LARGE // len(block)):
        wanted.update(block)
        size += len(block)
    while size:
        data = client.recv(min(size, 1 << 20))
        assert data
        got.update(data)
        size -= len(data)
    sender.join()
    return "unchanged" if got.digest() == wanted.digest() else "changed"


OBSERVED: dict[str, Callable[[Proxy], str]] = {
    "the client half-closes": client_half_closes,
    "the upstream half-closes": upstream_half_closes,
    "the upstream resets": upstream_resets,
    "the client resets": client_resets,
    "2,000 connections at once": many_connections,
    "a client that does not read": nobody_reads,
    "200 MB": large,
}


@contextmanager
def descriptors(count: int) -> Iterator[None]:
    """At least so many files may be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"{count} open files are needed; the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_table_has_every_case() -> None:
    assert ROWS.keys() == OBSERVED.keys()


@pytest.mark.parametrize("which", [0, 1], ids=["builtin", "toxiproxy"])
@pytest.mark.parametrize("case", OBSERVED)
def test_as_the_table_says(pair: tuple[Api, Api], case: str, which: int) -> None:
    theirs, ours = pair
    with descriptors(5 * MANY if OBSERVED[case] is many_connections else 100), upstream() as up:
        assert OBSERVED[case](Proxy((ours, theirs)[which], up)) == ROWS[case][which]
