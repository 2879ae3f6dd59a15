"""A small running subject for tests of faults, and a client that stands on one of its edges."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
import redis
from celery import Celery

from brownout.plan.topology import Topology, Workers
from brownout.subject.application import Application
from brownout.subject.servers import ladder
from brownout.subject.subject import Subject
from brownout.wire.interface import AnyWire
from tests.measured import Span, measured

ROOT = Path(__file__).parents[2]
LATE = 0.2  # seconds: what the faults of these tests delay by
SILENCE = 0.3  # seconds after which an answer that is not to come is not waited for any longer
PATIENCE = 10.0
PING, PONG = b"PING\r\n", b"+PONG\r\n"

app = Celery("faults")  # the worker's; its broker is what the environment says
app.conf.broker_connection_retry_on_startup = True
APPLICATION = Application(
    celery="tests.kit.faults_subject:app",
    relay=("http.server", "--bind", "127.0.0.1", "0"),  # a process that starts fast and ends by SIGTERM
    env={"CELERY_BROKER_URL": "{broker}", "CELERY_RESULT_BACKEND": "{backend}"},
)


@contextmanager
def running(
    folder: Path, wire: AnyWire, *, workers: int = 0, rung: str = "local", persistent: bool = True
) -> Iterator[Subject]:
    """A subject with a Redis, a relay and so many workers; skipped where there is no such Redis."""
    topology = Topology(workers=Workers(workers), servers=0, relay=True, persistent=persistent)
    subject = Subject(APPLICATION, topology, wire, root=ROOT, files=folder, history=folder / "history.ndjson")
    subject.history.touch()
    try:
        found = ladder.choose("local", rung)
    except ladder.NoRedis as error:
        pytest.skip(str(error))
    try:
        subject.start(found)
        yield subject
    finally:
        subject.stop()


class Line:
    """One connection to a port, and what becomes of what is asked on it."""

    def __init__(self, port: int) -> None:
        self.sock: socket.socket | None = None
        self.failed = ""
        self.took = Span()  # by the last answer
        try:
            self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        except ConnectionRefusedError:
            self.failed = "refused"
            return
        except ConnectionResetError:  # the built-in wire, when its upstream refuses
            self.failed = "reset"
            return
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, within: float = PATIENCE, request: bytes = PING) -> str:
        """Send a request and take its answer: "refused", "reset", "closed", "silent", "late", or the answer itself."""
        if self.sock is None:
            return self.failed
        answer = b""
        try:
            with measured() as self.took:
                self.sock.settimeout(within)
                self.sock.sendall(request)
                while not answer.endswith(b"\r\n"):
                    more = self.sock.recv(4096)
                    if not more:
                        return "closed"
                    answer += more
        except ConnectionResetError:
            return "reset"
        except BrokenPipeError:
            return "closed"
        except TimeoutError:
            return "silent"
        late = answer == PONG and self.took.wall >= LATE
        return "late" if late else answer.decode().split("\r\n")[0].split(" ")[0]

    def answers(self, expected: set[str], within: float = PATIENCE, request: bytes = PING) -> bool:
        """Whether the answer is one of these. A busy machine may have made a prompt one late."""
        answer = self.ask(within, request)
        by_the_machine = answer == "late" and self.took.least < LATE
        return answer in expected or (by_the_machine and "+PONG" in expected)

    def close(self) -> None:
        if self.sock:
            self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def direct(subject: Subject) -> redis.Redis:
    """Straight to Redis, past every edge."""
    return subject.broker.client(decode=True)
