"""Gunicorn with uvicorn workers: what happens to one process stays with it."""

import socket
from collections import Counter
from contextlib import ExitStack, closing
from select import select
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

import httpx
import psutil
import pytest

from brownout.subject.ports import HOST
from brownout.subject.waiting import eventually
from tests.integration.running import SLACK, Running

WORKERS = 2
REQUEST = f"GET /health-check HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


@pytest.fixture(scope="module")
def forked(starting_forked: Running) -> Running:
    log = starting_forked.process("api").tail
    eventually(lambda: len(up(starting_forked)) == WORKERS, within=2 * SLACK, what="all start", evidence=log)
    return starting_forked.ready()


def up(system: Running) -> set[int]:
    """The pids of the workers that have started and live."""
    alive = {child.pid for child in system.process("api").children()}
    said = system.log("api").read_text()
    return {pid for pid in alive if f"[{pid}] [INFO] Application startup complete" in said}


def serving(system: Running, sock: socket.socket) -> int | None:
    """The pid of the worker at the other end."""
    mine = sock.getsockname()[1]
    for pid in up(system):
        for connection in psutil.Process(pid).net_connections("tcp"):
            if connection.raddr and connection.raddr.port == mine and connection.laddr.port == system.port:
                return pid
    return None


def whole_answer(sock: socket.socket) -> bytes:
    """Head and body, which may come one after the other."""
    answer = b""
    while not answer.endswith(b"}"):
        more = sock.recv(4096)
        assert more, answer
        answer += more
    return answer


def fresh_get(system: Running) -> int:
    """By a connection of its own, which no worker has taken before."""
    return httpx.get(f"{system.http.base_url}/health-check", timeout=SLACK, trust_env=False).status_code


def answered(sockets: list[socket.socket]) -> list[socket.socket]:
    return select(sockets, [], [], 0)[0]


def test_one_stopped_worker_stalls_its_own_share_only(forked: Running) -> None:
    with ExitStack() as stack:
        clients: dict[socket.socket, int] = {}

        def each_has_some() -> bool:
            for sock in [socket.create_connection((HOST, forked.port), timeout=SLACK) for _ in range(4)]:
                stack.enter_context(closing(sock))
                sock.sendall(REQUEST)
                assert whole_answer(sock).startswith(b"HTTP/1.1 200")
                # The kernel's table is read in pieces while it changes, so one look may miss a connection.
                clients[sock] = eventually(
                    lambda sock=sock: serving(forked, sock) or 0,  # type: ignore[misc]
                    within=SLACK,
                    what="the connection is a worker's",
                )
            return set(clients.values()) == up(forked)

        eventually(each_has_some, within=2 * SLACK, what="each worker serves a client", evidence=lambda: str(clients))
        victim, _ = Counter(clients.values()).most_common()[-1]
        stalled = [sock for sock, pid in clients.items() if pid == victim]
        served = [sock for sock, pid in clients.items() if pid != victim]
        psutil.Process(victim).send_signal(SIGSTOP)
        try:
            for sock in clients:
                sock.sendall(REQUEST)
            eventually(lambda: len(answered(served)) == len(served), within=SLACK, what="the others serve their own")
            for _ in range(WORKERS):
                assert fresh_get(forked) == 200
            assert answered(stalled) == []
        finally:
            psutil.Process(victim).send_signal(SIGCONT)
        eventually(lambda: len(answered(stalled)) == len(stalled), within=SLACK, what="the stopped one goes on")


def test_one_killed_worker_is_replaced_and_the_others_serve(forked: Running) -> None:
    before = up(forked)
    victim = min(before)
    psutil.Process(victim).send_signal(SIGKILL)
    for _ in range(2 * WORKERS):
        assert fresh_get(forked) == 200
    eventually(lambda: len(up(forked) - {victim}) == WORKERS, within=2 * SLACK, what="another one takes its place")
    assert before - {victim} <= up(forked), "the others are the same as before"


def test_it_ends_gracefully(forked: Running) -> None:
    job = forked.submit("/compute", {"n": 1})
    assert forked.process("api").stop(SIGTERM, within=2 * SLACK) == 0
    assert forked.process("api").escalation == ""
    with forked.server.client(forked.db) as client:
        assert client.llen("cpu") == 1, f"{job} was published before the end"
