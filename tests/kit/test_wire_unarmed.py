"""The wire without a fault changes nothing: Celery's traffic passes byte by byte, and connections end as they would."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from brownout.run.points import Points
from brownout.subject.servers.redis_server import RedisServer
from brownout.subject.waiting import eventually
from brownout.wire import Edge, Wire
from tests.kit.wire_peers import PATIENCE, Upstream, upstream

WITHIN = 110.0  # s; for a worker that starts and does everything on a busy machine
MANY = 2000
SIDES = ("client", "server")


class Heard:
    """What one connection carried: each side's bytes, and which side ended its stream first."""

    def __init__(self) -> None:
        self._hashes = {side: hashlib.sha256() for side in SIDES}
        self._sizes, self.ends = dict.fromkeys(SIDES, 0), list[str]()

    def add(self, side: str, data: bytes) -> None:
        self._hashes[side].update(data)
        self._sizes[side] += len(data)

    @property
    def all(self) -> tuple[object, ...]:
        """A value that two connections share only if they carried the same bytes and ended in the same order."""
        return tuple((self._hashes[side].hexdigest(), self._sizes[side]) for side in SIDES), tuple(self.ends)


class Tap:
    """Listens on one side of the edge, passes everything on to `to` (host, port), and remembers it."""

    def __init__(self, to: tuple[str, int]) -> None:
        self._to, self.heard, self._running = to, list[Heard](), list[threading.Thread]()
        self._socks = list[socket.socket]()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._run(self._accept)

    def _run(self, job: object, *args: object) -> None:
        thread = threading.Thread(target=job, args=args, daemon=True)  # type: ignore[arg-type]
        self._running.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                server, heard = socket.create_connection(self._to, timeout=PATIENCE), Heard()
                server.settimeout(None)
                self.heard.append(heard)
                self._socks += [client, server]
                self._run(self._pass, client, server, "client", heard)
                self._run(self._pass, server, client, "server", heard)

    @staticmethod
    def _pass(source: socket.socket, sink: socket.socket, side: str, heard: Heard) -> None:
        """Pass one direction on. What a side sends after its peer has left is read to its end all the same."""
        with suppress(ConnectionError):
            while data := source.recv(1 << 16):
                heard.add(side, data)
                with suppress(OSError):
                    sink.sendall(data)
        heard.ends.append(side)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def closed(self) -> bool:
        """Whether both streams of every connection have ended."""
        return bool(self.heard) and all(len(heard.ends) == 2 for heard in list(self.heard))

    def stop(self) -> None:
        """Close every socket, and wait until every thread has ended."""
        for sock in (self._listener, *self._socks):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._running:
            thread.join(PATIENCE)
        for sock in (self._listener, *self._socks):
            sock.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire(seed=7) as wire:
        yield wire


def carried(taps: tuple[Tap, Tap]) -> tuple[list[str], list[str]]:
    """What all connections carried, on either side of the edge."""
    near, far = (sorted(repr(heard.all) for heard in tap.heard) for tap in taps)
    return near, far


@pytest.fixture(params=["plain", "counting points"])
def taps(request: pytest.FixtureRequest, wire: Wire, local_redis: RedisServer) -> Iterator[tuple[Tap, Tap]]:
    """client -> first tap -> edge -> second tap -> Redis. The edge may frame and count requests, as for a map."""
    far = Tap(("127.0.0.1", local_redis.port))
    edge = wire.edge("worker->broker", f"127.0.0.1:{far.port}")
    if request.param != "plain":
        points = Points(wire)
        points.direct(edge)
        points.arm()
    near = Tap(("127.0.0.1", edge.port))
    yield near, far
    near.stop()
    far.stop()


def test_all_of_celerys_traffic_passes_unchanged(taps: tuple[Tap, Tap], tmp_path: Path) -> None:
    near, far = taps
    env = {**os.environ, "TRAFFIC_URL": f"redis://127.0.0.1:{near.port}/0", "C_FORCE_ROOT": "1"}
    options = ("-c", "2", "-E", "--pool", "prefork", "-l", "WARNING")
    command = [sys.executable, "-m", "celery", "-A", "tests.kit.traffic", "worker", *options]
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        script = [sys.executable, "-m", "tests.kit.traffic"]
        sent = subprocess.run(script, env=env, capture_output=True, text=True, check=False, timeout=WITHIN)
        assert sent.returncode == 0, sent.stderr + (tmp_path / "worker.log").read_text()
        worker.send_signal(signal.SIGTERM)
        worker.wait(WITHIN)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    eventually(lambda: near.closed() and far.closed(), within=PATIENCE, what="every connection has ended")
    sent_, received = carried(taps)
    assert len(sent_) > 10
    assert sent_ == received


def test_many_connections_pass_and_end_one_by_one(wire: Wire) -> None:
    """Two thousand connections at once; each end is passed on before the next, and nobody else's with it."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(*resource.getrlimit(resource.RLIMIT_NOFILE)),) * 2)
    with upstream() as up:
        edge = wire.edge("worker->broker", up.address)
        pairs = [named_pair(up, edge, n) for n in range(MANY)]
        order = random.Random(7)
        order.shuffle(pairs)
        for n, (client, server) in enumerate(pairs):
            leaver, stayer = (client, server) if n % 2 else (server, client)
            leaver.sendall(b"%d" % n)
            leaver.shutdown(socket.SHUT_WR)
            assert ended(stayer) == b"%d" % n
            stayer.sendall(b"still here")
            stayer.close()
            assert ended(leaver) == b"still here"
            for other in (sock for pair in pairs[n + 1 : n + 3] for sock in pair):
                other.setblocking(False)
                with pytest.raises(BlockingIOError):
                    other.recv(1)
                other.settimeout(PATIENCE)


def named_pair(up: Upstream, edge: Edge, n: int) -> tuple[socket.socket, socket.socket]:
    """Client and server of a connection that has carried its own number."""
    client, server = up.pair(edge)
    client.sendall(b"%8d" % n)
    assert server.recv(8, socket.MSG_WAITALL) == b"%8d" % n
    return client, server


def ended(sock: socket.socket) -> bytes:
    """All that still comes until the stream ends."""
    data = b""
    while more := sock.recv(100):
        data += more
    return data


def test_a_difference_of_one_byte_or_of_an_end_is_seen() -> None:
    def heard(data: bytes, *ends: str) -> tuple[object, ...]:
        made = Heard()
        made.add("client", data)
        made.ends += ends
        return made.all

    assert heard(b"x", "client", "server") == heard(b"x", "client", "server")
    assert heard(b"x", "client", "server") != heard(b"y", "client", "server")
    assert heard(b"x", "client", "server") != heard(b"x", "server", "client")
