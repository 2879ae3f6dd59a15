"""An API with nobody behind it: another configuration, a full backlog, a broker that answers nobody."""

import base64
import json
import os
import socket
from contextlib import ExitStack, closing, suppress

import psutil
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from brownout.subject.ports import HOST
from brownout.subject.waiting import eventually
from tests.integration.fragile import Fragile
from tests.integration.running import SLACK, Running
from tests.measured import measured


def test_a_silent_broker_and_a_full_backlog(alone: Running, fragile: Fragile) -> None:
    """Redis is stopped: connections are open, nothing is answered. Every request is, within a client's patience."""
    limit = alone.settings.backlog_limit
    before = alone.http.get("/stats").json()["unfinished"]
    fragile.server.pause()
    try:
        jobs = [alone.submit("/divide", {"x": 1, "y": n}) for n in range(limit - before)]
        for path in ("/divide", "/start-task", "/process-data"):
            body = {"x": 1, "y": 2} if path == "/divide" else {}
            refused = alone.http.post(path, json=body)
            assert (refused.status_code, refused.json()) == (503, {"detail": "too many unfinished jobs"})
            assert refused.headers["Retry-After"] == str(alone.settings.retry_after)
        assert alone.http.get("/example").status_code == 200
        assert alone.http.get("/health-check").status_code == 200
        assert {alone.status(job)["task_status"] for job in jobs} == {"PENDING"}
        assert alone.http.get("/stats").json()["unfinished"] == limit
    finally:
        fragile.server.resume()
    with alone.server.client(alone.db) as client:
        eventually(lambda: client.llen("celery") == limit, within=SLACK, what="what was accepted is published")
    assert alone.rows("select count(*) from jobs") == [(limit,)], "what was refused has left nothing"


def test_two_applications_with_their_own_settings(alone: Running, calm: Running) -> None:
    titles = [system.http.get("/openapi.json").json()["info"]["title"] for system in (alone, calm)]
    assert titles == ["Another one", "FastAPI with Celery"]
    job = calm.submit("/compute", {"n": 1})
    assert calm.ended(job)["task_status"] == "SUCCESS"
    assert alone.http.get(f"/task-status/{job}").status_code == 404


def mute_client(system: Running, job: str) -> socket.socket:
    """Does the handshake and is never heard of again, with its connection open."""
    sock = socket.create_connection((HOST, system.port), timeout=SLACK)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET /task-status/{job}/events HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert sock.recv(12) == b"HTTP/1.1 101"
    return sock


def test_half_open_clients_do_not_accumulate(alone: Running) -> None:
    """Each is dropped by the server's pings; one that answers them stays."""
    found = alone.rows("select id from jobs limit 1")
    job, mute = (found[0][0] if found else alone.submit("/divide", {"x": 1, "y": 2})), 10

    def connections() -> int:
        found = psutil.Process(alone.process("api").pid).net_connections("tcp")
        return sum(each.status == psutil.CONN_ESTABLISHED and each.laddr.port == alone.port for each in found)

    bound = 2 * SLACK  # far above the two times 0.3 s of its pings

    def the_living_one_stays() -> bool:
        """False when a busy machine made its answer to a ping late, by as much as the server waits for one."""
        answered = False
        with (
            measured(alone.process("api").pid) as span,
            suppress(ConnectionClosed),
            connect(f"ws://{HOST}:{alone.port}/task-status/{job}/events", proxy=None) as living,
            ExitStack() as stack,
        ):
            assert json.loads(living.recv(timeout=SLACK))["task_status"] == "PENDING"
            before = connections()
            for _ in range(mute):
                stack.enter_context(closing(mute_client(alone, job)))
            eventually(lambda: connections() <= before, within=bound, every=0.05, what="the mute ones are dropped")
            answered = living.ping().wait(SLACK)
        assert answered or span.waited >= 0.3, "it was dropped although it answered in time"
        return answered

    eventually(the_living_one_stays, within=bound, what="one that answers pings is still served")
