"""The layer's own rule: a unit test that reaches for the network fails."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.no_sockets import Guard, SocketUsed

ROOT = Path(__file__).parents[2]
NOWHERE = ("127.0.0.1", 1)

CULPRITS = """
import socket, threading
from contextlib import suppress

def test_swallows_the_error():
    with suppress(Exception):
        socket.create_connection(("127.0.0.1", 1))

def test_uses_a_thread():
    def listen():
        with suppress(OSError), socket.socket(socket.AF_INET6) as server:
            server.bind(("::1", 0))
    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()

def test_is_innocent():
    pass
"""


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("call", ["connect", "connect_ex", "bind"])
def test_reaching_for_the_network_is_an_error_and_remembered(no_sockets: Guard, call: str, family: int) -> None:
    address = NOWHERE if family == socket.AF_INET else ("::1", 1)
    with socket.socket(family) as client, pytest.raises(SocketUsed):
        getattr(client, call)(address)
    with pytest.raises(pytest.fail.Exception, match=r"127\.0\.0\.1|::1"):
        no_sockets.check()


def test_datagrams_count_too(no_sockets: Guard) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, pytest.raises(SocketUsed):
        client.sendto(b"x", NOWHERE)
    with pytest.raises(pytest.fail.Exception):
        no_sockets.check()


def test_threads_are_named(no_sockets: Guard) -> None:
    def reach() -> None:
        with suppress(OSError):
            socket.create_connection(NOWHERE)

    thread = threading.Thread(target=reach, name="the-culprit")
    thread.start()
    thread.join()
    with pytest.raises(pytest.fail.Exception, match="the-culprit"):
        no_sockets.check()


def test_pairs_and_loops_are_allowed(no_sockets: Guard, tmp_path: Path) -> None:
    near, far = socket.socketpair()
    near.send(b"x")
    assert far.recv(1) == b"x"
    near.close()
    far.close()
    assert asyncio.run(asyncio.sleep(0, "done")) == "done"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s"))
    assert no_sockets.attempts == []


def test_the_fixture_fails_a_test_that_hides_it(tmp_path: Path) -> None:
    """In a pytest of its own, with nothing but the fixture."""
    culprits = tmp_path / "test_culprits.py"
    culprits.write_text(CULPRITS)
    options = ["-c", os.devnull, "-p", "tests.unit.no_sockets", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *options, str(culprits)]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "3 passed, 2 errors" in run.stdout
    assert "ERROR test_culprits.py::test_is_innocent" not in run.stdout
