"""Ports are given to one owner at a time, whichever process asks; and who answers at an API's port is the API."""

import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from brownout.plan.topology import Topology, Workers
from brownout.subject import ports, subject
from brownout.subject.application import Application, NotLaunched
from brownout.subject.servers import ladder
from brownout.subject.subject import Subject
from brownout.wire.tcp.wire import Wire

API = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body"})
"""

ASKS = """
import random, sys
from brownout.subject.ports import free_port
random.sample = lambda _range, **_: [int(port) for port in sys.argv[1:]]
print(free_port())
"""


def asked_elsewhere(*candidates: int) -> str:
    """What another process is given, when it may choose among these."""
    command = [sys.executable, "-c", ASKS, *map(str, candidates)]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def test_no_port_of_those_that_clients_use_is_given() -> None:
    assert all(ports.free_port() < 32_768 for _ in range(50))


def test_no_port_is_given_twice_and_none_that_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, *free = (ports.free_port() for _ in range(4))
    for _ in range(4):
        os.close(ports._owned.pop())
    monkeypatch.setattr(ports, "_given", set())
    monkeypatch.setattr("random.sample", lambda _range, **_: [taken, *free])
    with socket.socket() as server:
        server.bind((ports.HOST, taken))
        server.listen()
        assert [ports.free_port() for _ in range(3)] == free
        with pytest.raises(OSError, match="no free port"):
            ports.free_port()


def test_a_port_that_nobody_has_bound_yet_is_given_to_no_other_process() -> None:
    mine, other = ports.free_port(), ports.free_port()
    os.close(ports._owned.pop())
    assert asked_elsewhere(mine, other) == f"{other}\n"
    assert "no free port" in asked_elsewhere(mine)


def test_a_process_keeps_few_descriptors_for_its_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "KEPT", len(ports._owned) + 2)
    first = [ports.free_port() for _ in range(3)]
    assert len(ports._owned) == ports.KEPT
    assert asked_elsewhere(*first[1:]).startswith("Traceback")


def test_who_listens_on_a_port_is_known_and_who_only_uses_it_is_not() -> None:
    me = os.getpid()
    with socket.socket() as server, socket.socket() as client:
        server.bind((ports.HOST, 0))
        port = server.getsockname()[1]
        assert not ports.listens(me, port)
        server.listen()
        client.connect((ports.HOST, port))
        assert ports.listens(me, port)
        assert ports.listens(os.getppid(), port), "a child of it"
        assert not ports.listens(me, client.getsockname()[1])
    assert not ports.listens(me, port)


class Stranger(BaseHTTPRequestHandler):
    """Answers 200 to everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_another_program_on_the_port_of_an_api_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.py").write_text(API)
    history = tmp_path / "history.ndjson"
    history.touch()
    topology = Topology(Workers(0))
    with ThreadingHTTPServer((ports.HOST, 0), Stranger) as server, Wire() as wire:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(subject, "free_port", lambda: server.server_port)
        tried = Subject(Application(api="shop:app"), topology, wire, root=tmp_path, files=tmp_path, history=history)
        try:
            with pytest.raises(
                NotLaunched, match=r"^api ended with exit code \d before it was ready: ERROR: .*address already in use"
            ):
                tried.start(ladder.choose("local", "embedded"))
        finally:
            tried.stop()
            server.shutdown()
