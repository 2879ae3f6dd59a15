"""The two servers of Toxiproxy's API, the official one and the built-in wire's, for tests that ask both the same."""

import http.client
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

from brownout.subject.ports import free_port
from brownout.subject.servers import toxiproxy_server
from brownout.wire import Wire
from brownout.wire.tcp.wire import LoopName
from tests.kit.wire_peers import PATIENCE


def needed(program: str, what: str) -> str:
    """Where `program` is. Without it the test is `missing` something."""
    return shutil.which(program) or missing(program, what)


def missing(program: str, what: str) -> NoReturn:
    """Skip the test; fail it where BROWNOUT_REQUIRE names the program that it needs."""
    if program in os.environ.get("BROWNOUT_REQUIRE", "").split(","):
        pytest.fail(what)
    pytest.skip(what)


@contextmanager
def official(folder: Path) -> Iterator[int]:
    """The port of a new toxiproxy-server."""
    needed("toxiproxy-server", "no toxiproxy-server on PATH (https://github.com/Shopify/toxiproxy/releases)")
    with toxiproxy_server.started(folder / "toxiproxy.log") as real:
        yield int(real.client.where.rpartition(":")[2])


@contextmanager
def builtin(loop: LoopName = "asyncio") -> Iterator[int]:
    """The port of a new built-in wire's API."""
    with Wire(loop=loop) as wire:
        yield wire.serve_api()


@dataclass(frozen=True)
class Answer:
    """What one server said: `data` is the decoded JSON, or the text."""

    status: int
    type: str
    data: Any


@dataclass
class Api:
    """One server. Its ports are written `@0` and `@1` in what is asked and answered, so that two can be compared.

    A port that the server has chosen itself is answered as `@any`.
    """

    name: str
    port: int
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(2)])

    def __post_init__(self) -> None:
        self._link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def close(self) -> None:
        self._link.close()

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection that is kept."""
        for number, port in enumerate(self.ports):
            body = body and body.replace(b"@%d" % number, b"%d" % port)
        self._link.request(method, path, body, headers or {})
        answer = self._link.getresponse()
        return Answer(answer.status, answer.headers.get("Content-Type", ""), self._data(answer.read()))

    def clear(self) -> None:
        """No proxy is left, and the connection is a new one: the servers close one that was idle for long."""
        self._link.close()
        for name in self.ask("GET", "/proxies").data:
            self._link.request("DELETE", "/proxies/" + "".join(f"%{byte:02x}" for byte in name.encode()))
            self._link.getresponse().read()

    def raw(self, data: bytes, *, half_close: bool = False) -> list[Answer]:
        """All answers to these bytes on a connection of their own, each without its body's JSON being decoded.

        The server must close the connection, or the bytes must ask it to.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as sock:
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            reader = sock.makefile("rb")
            answers: list[Answer] = []
            while line := reader.readline():
                status, headers = int(line.split()[1]), http.client.parse_headers(reader)
                # Without a length, an answer ends with the connection.
                size = int(headers.get("Content-Length", "-1"))
                head = not answers and data.startswith(b"HEAD")
                body = b"" if head or status < 200 else reader.read(size)
                answers.append(Answer(status, headers.get("Content-Type", ""), self._data(body)))
            return answers

    def _data(self, body: bytes) -> Any:
        text = body.decode()
        for number, port in enumerate(self.ports):
            text = re.sub(rf"\b{port}\b", f"@{number}", text)
        text = re.sub(r'("listen": ?"[^"]*:)[2-6][0-9]{4}"', r'\1@any"', text)
        try:
            return json.loads(text)
        except ValueError:
            return text
