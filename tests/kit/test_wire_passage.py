"""A directed edge on real sockets: what passes, what is kept, and what a director can do with it."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import redis

from brownout.subject.servers.redis_server import RedisServer
from brownout.subject.waiting import eventually
from brownout.wire import Edge, Wire
from brownout.wire.redis.conversation import Answer, Request
from brownout.wire.redis.passage import Passage
from brownout.wire.redis.resp import encode, error
from tests.kit.wire_peers import PATIENCE, Upstream, ending, exactly, silent, upstream

PING, PONG = encode("PING"), b"+PONG\r\n"
Events = list[tuple[str, dict[str, Any]]]


@dataclass
class Chooser:
    """Keeps what it is told to keep, and remembers all of it. Its methods run on the wire's thread."""

    wire: Wire
    keep: set[str] = field(default_factory=set)  # labels of requests; "+" before one of an answer
    asked: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    kept: list[tuple[str, Passage]] = field(default_factory=list)
    over: list[Passage] = field(default_factory=list)
    at_once: Callable[[Passage], None] | None = None
    answers: bool = False  # what it says of what it was told to keep

    def request(self, passage: Passage, request: Request) -> bool:
        self.asked.append(request.label)
        return self._may(request.label, passage)

    def answer(self, passage: Passage, answer: Answer) -> bool:
        self.told.append(answer.label)
        return self._may(f"+{answer.label}", passage)

    def ended(self, passage: Passage) -> None:
        self.over.append(passage)

    def _may(self, what: str, passage: Passage) -> bool:
        if what not in self.keep:
            return True
        self.kept.append((what, passage))
        if self.at_once:
            self.at_once(passage)
        return self.answers

    def passage(self, what: str) -> Passage:
        """Where that is kept, once it is."""
        eventually(lambda: what in [held for held, _ in self.kept], within=PATIENCE, what=f"{what} is kept")
        return next(passage for held, passage in reversed(self.kept) if held == what)

    def do(self, act: Callable[[], None]) -> None:
        self.wire.run(act)


@pytest.fixture
def events() -> Events:
    return []


@pytest.fixture(params=["asyncio", "uvloop"])
def wire(request: pytest.FixtureRequest, events: Events) -> Iterator[Wire]:
    with Wire(on_event=lambda kind, data: events.append((kind, data)), loop=request.param) as wire:
        yield wire


@pytest.fixture
def chooser(wire: Wire) -> Chooser:
    return Chooser(wire)


@pytest.fixture
def up() -> Iterator[Upstream]:
    with upstream() as up:
        yield up


@pytest.fixture
def edge(wire: Wire, up: Upstream, chooser: Chooser) -> Edge:
    """To a server that is the test's own."""
    edge = wire.edge("client->broker", up.address)
    edge.direct(chooser)
    return edge


@pytest.fixture
def real(wire: Wire, redis_server: RedisServer, chooser: Chooser) -> Edge:
    """To a real server."""
    edge = wire.edge("worker->broker", f"127.0.0.1:{redis_server.port}")
    edge.direct(chooser)
    return edge


@pytest.fixture
def client(real: Edge) -> Iterator[socket.socket]:
    with connected(real) as sock:
        yield sock


def connected(edge: Edge) -> socket.socket:
    return socket.create_connection(("127.0.0.1", edge.port), PATIENCE)


def line(*words: str) -> bytes:
    return encode(*words)


# --- unarmed


def test_unarmed_it_changes_no_byte(edge: Edge, up: Upstream, chooser: Chooser) -> None:
    client, server = up.pair(edge)
    sent = (PING + line("SET", "key", "v" * 3000) + b"*0\r\n\r\nPING\r\n" + line("MULTI") + PING + line("EXEC")) * 200
    said = (PONG + b"+OK\r\n" + PONG + b"+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n") * 200
    came: list[bytes] = []
    reader = threading.Thread(target=lambda: came.append(exactly(server, len(sent))))
    reader.start()
    for place in range(0, len(sent), 977):
        client.sendall(sent[place : place + 977])
    reader.join(PATIENCE)
    answers = threading.Thread(target=server.sendall, args=(said,))
    answers.start()
    assert (exactly(client, len(said)), came) == (said, [sent])
    answers.join(PATIENCE)
    assert chooser.asked == chooser.told == ["PING", "SET key", "PING", "PING"] * 200


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_works_through_it(real: Edge, protocol: int, chooser: Chooser) -> None:
    with redis.Redis(port=real.port, protocol=protocol, socket_timeout=PATIENCE) as client:
        assert client.pipeline().lpush("celery", "m").zadd("index", {"t": 1}).execute() == [1, 1]
        assert [*client.brpop(["celery", "mail"], timeout=1)] == [b"celery", b"m"]
        with client.pubsub() as listener:
            listener.subscribe("one", "two")
            listener.get_message(timeout=PATIENCE)
            listener.get_message(timeout=PATIENCE)
            client.publish("one", "news")
            message = listener.get_message(timeout=PATIENCE)
            assert message
            assert (message["channel"], message["data"]) == (b"one", b"news")
            listener.unsubscribe()
            listener.get_message(timeout=PATIENCE)
            listener.get_message(timeout=PATIENCE)
        assert client.get("none") is None
    assert [request for request in chooser.asked if not request.startswith(("HELLO", "CLIENT"))] == [
        "LPUSH celery;ZADD index",
        "BRPOP celery,mail",
        "SUBSCRIBE one",
        "PUBLISH one",
        "UNSUBSCRIBE",
        "GET none",
    ]
    assert {"PUSH one", "BRPOP celery,mail"} <= {*chooser.told}


def test_connections_that_were_there_before_are_left_alone(wire: Wire, up: Upstream, chooser: Chooser) -> None:
    edge = wire.edge("client->broker", up.address)
    client, server = up.pair(edge)
    client.sendall(b"not RESP")
    assert exactly(server, 8) == b"not RESP"
    edge.direct(chooser)
    client.sendall(b"nor this")
    assert exactly(server, 8) == b"nor this"
    assert (chooser.asked, chooser.over) == ([], [])


def test_a_passage_knows_its_edge_without_the_number_of_its_bench(wire: Wire, up: Upstream) -> None:
    chooser = Chooser(wire, keep={"PING"})
    edge = wire.edge("7.worker->broker", up.address)
    edge.direct(chooser)
    up.pair(edge)[0].sendall(PING)
    assert chooser.passage("PING").edge == "worker->broker"


# --- kept


def test_a_kept_request_keeps_those_behind_it_and_no_answer(edge: Edge, up: Upstream, chooser: Chooser) -> None:
    client, server = up.pair(edge)
    chooser.keep = {"GET b"}
    client.sendall(line("GET", "a") + line("GET", "b") + line("GET", "c"))
    assert exactly(server, len(line("GET", "a"))) == line("GET", "a")
    server.sendall(b":1\r\n")
    assert exactly(client, 4) == b":1\r\n"
    assert silent(server)
    passage = chooser.passage("GET b")
    assert chooser.asked == ["GET a", "GET b"]
    chooser.do(lambda: passage.let("downstream"))  # nothing is kept there
    chooser.do(lambda: passage.let("upstream"))
    assert exactly(server, len(line("GET", "b") * 2)) == line("GET", "b") + line("GET", "c")


def test_a_kept_answer_keeps_those_behind_it_and_no_request(edge: Edge, up: Upstream, chooser: Chooser) -> None:
    client, server = up.pair(edge)
    chooser.keep = {"+GET a"}
    client.sendall(line("GET", "a") + line("GET", "b"))
    exactly(server, len(line("GET", "a")) * 2)
    server.sendall(b":1\r\n:2\r\n")
    passage = chooser.passage("+GET a")
    client.sendall(line("GET", "c"))
    assert exactly(server, len(line("GET", "c"))) == line("GET", "c")
    server.sendall(b":3\r\n")
    assert silent(client)
    chooser.do(lambda: passage.let("downstream"))
    assert exactly(client, 12) == b":1\r\n:2\r\n:3\r\n"


@pytest.mark.parametrize("answers", [True, False], ids=str)
@pytest.mark.parametrize("what", ["GET a", "+GET a"])
def test_what_is_let_go_at_once_passes_once(
    edge: Edge, up: Upstream, chooser: Chooser, what: str, answers: bool
) -> None:
    client, server = up.pair(edge)
    chooser.keep, chooser.answers = {what}, answers
    chooser.at_once = lambda passage: passage.let("downstream" if what[0] == "+" else "upstream")
    client.sendall(line("GET", "a") + PING)
    assert exactly(server, len(line("GET", "a") + PING)) == line("GET", "a") + PING
    server.sendall(b":1\r\n" + PONG)
    assert exactly(client, 11) == b":1\r\n" + PONG
    assert silent(client)
    assert chooser.asked == chooser.told == ["GET a", "PING"]


# --- refused


def test_a_refused_request_is_answered_in_its_turn_and_not_executed(
    client: socket.socket, chooser: Chooser, redis_server: RedisServer
) -> None:
    chooser.keep = {"INCR n"}
    chooser.at_once = lambda passage: passage.refuse(error("OOM no memory"))
    client.sendall(line("SET", "n", "5") + line("BLPOP", "none", "0") + line("INCR", "n") + line("GET", "n"))
    assert exactly(client, 5) == b"+OK\r\n"
    assert silent(client)  # the refusal is behind a reply that does not come before the push
    with redis_server.client() as direct:
        direct.rpush("none", "x")
    expected = b"*2\r\n$4\r\nnone\r\n$1\r\nx\r\n-OOM no memory\r\n$1\r\n5\r\n"
    assert exactly(client, len(expected)) == expected
    assert chooser.told == ["SET n", "BLPOP none", "INCR n", "GET n"]


def test_what_was_kept_for_long_can_be_refused(client: socket.socket, chooser: Chooser) -> None:
    chooser.keep = {"LPUSH celery"}
    for behind, expected in ((b"", b"-LOADING data\r\n"), (line("LLEN", "celery"), b"-LOADING data\r\n:0\r\n")):
        client.sendall(line("LPUSH", "celery", "m") + behind)
        passage = chooser.passage("LPUSH celery")
        chooser.do(partial(passage.refuse, error("LOADING data")))
        assert exactly(client, len(expected)) == expected
        chooser.kept.clear()


# --- ended


def test_a_torn_answer_is_half_of_it_and_the_end(client: socket.socket, chooser: Chooser) -> None:
    chooser.keep = {"+ECHO"}
    chooser.at_once = lambda passage: passage.tear()
    client.sendall(line("ECHO", "0123456789") + PING)
    assert ending(client) == (b"$10\r\n012", "FIN")
    eventually(lambda: len(chooser.over) == 1, within=PATIENCE, what="the passage is over")


@pytest.mark.parametrize(("how", "end"), [("cut", "FIN"), ("reset", "RST")])
@pytest.mark.parametrize("what", ["GET a", "+GET a"])
def test_a_connection_ends_on_both_sides(
    edge: Edge, up: Upstream, chooser: Chooser, events: Events, how: str, end: str, what: str
) -> None:
    client, server = up.pair(edge)
    chooser.keep, chooser.at_once = {what}, lambda passage: getattr(passage, how)()
    client.sendall(line("GET", "a") + PING)
    if what[0] == "+":
        exactly(server, len(line("GET", "a") + PING))
        server.sendall(b":1\r\n" + PONG)
    assert ending(client) == ending(server) == (b"", end)
    (passage,) = {passage for _, passage in chooser.kept}
    eventually(lambda: "closed" in [kind for kind, _ in events], within=PATIENCE, what="it is closed")
    assert chooser.over == [passage]
    assert [data for kind, data in events if kind == "reset"] == (
        [{"edge": edge.name, "connection": 1, "by": "director"}] if how == "reset" else []
    )
    for act in (passage.cut, passage.reset, passage.tear, lambda: passage.let("upstream")):
        chooser.do(act)  # harmless now


@pytest.mark.parametrize("side", ["client", "server"])
def test_what_is_not_resp_ends_the_connection_and_is_told(
    edge: Edge, up: Upstream, chooser: Chooser, events: Events, side: str
) -> None:
    client, server = up.pair(edge)
    (client if side == "client" else server).sendall(b"*x\r\n")
    assert [ending(client), ending(server)] == [(b"", "FIN")] * 2
    eventually(lambda: len(chooser.over) == 1, within=PATIENCE, what="the passage is over")
    (garbled,) = [data for kind, data in events if kind == "garbled"]
    assert (garbled["edge"], garbled["connection"]) == ("client->broker", 1)
    assert "*x" in garbled["error"]


def test_a_half_close_goes_through_and_answers_still_come(edge: Edge, up: Upstream, chooser: Chooser) -> None:
    client, server = up.pair(edge)
    client.sendall(PING)
    client.shutdown(socket.SHUT_WR)
    assert ending(server) == (PING, "FIN")
    server.sendall(PONG)
    assert exactly(client, len(PONG)) == PONG
    server.close()
    assert ending(client) == (b"", "FIN")
    eventually(lambda: len(chooser.over) == 1, within=PATIENCE, what="the passage is over")


def test_a_client_that_leaves_takes_what_is_kept_with_it(client: socket.socket, chooser: Chooser, real: Edge) -> None:
    chooser.keep = {"SET key"}
    client.sendall(line("SET", "key", "v"))
    passage = chooser.passage("SET key")
    client.close()
    eventually(lambda: chooser.over == [passage], within=PATIENCE, what="the server's side is closed, too")
    chooser.do(lambda: passage.let("upstream"))
    with connected(real) as other:
        other.sendall(line("EXISTS", "key"))
        assert exactly(other, 4) == b":0\r\n"


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_a_late_request_is_executed_though_its_client_has_left(
    client: socket.socket, chooser: Chooser, redis_server: RedisServer, how: str
) -> None:
    chooser.keep = {"LPUSH celery"}
    client.sendall(line("LPUSH", "celery", "m"))
    passage = chooser.passage("LPUSH celery")
    chooser.do(lambda: setattr(passage, "asleep", True))
    assert not passage.left
    if how == "RST":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    eventually(lambda: passage.left, within=PATIENCE, what="the wire sees that the client has left")
    assert chooser.over == []
    with redis_server.client() as direct:
        assert direct.llen("celery") == 0
        chooser.do(lambda: passage.let("upstream"))
        eventually(lambda: direct.llen("celery") == 1, within=PATIENCE, what="the server executes it")
    chooser.do(passage.cut)
    assert chooser.over == [passage]


def test_a_client_that_waits_gets_the_answer_to_its_late_request(client: socket.socket, chooser: Chooser) -> None:
    chooser.keep = {"LPUSH celery"}
    client.sendall(line("LPUSH", "celery", "m") + PING)
    passage = chooser.passage("LPUSH celery")
    chooser.do(lambda: setattr(passage, "asleep", True))
    assert silent(client)
    chooser.do(lambda: passage.let("upstream"))
    chooser.do(lambda: setattr(passage, "asleep", False))
    assert exactly(client, 11) == b":1\r\n" + PONG
    assert not passage.left
    client.close()
    eventually(lambda: chooser.over == [passage], within=PATIENCE, what="it ends as every connection")


def test_a_server_that_leaves_is_told_to_a_client_whose_request_is_late(
    edge: Edge, up: Upstream, chooser: Chooser
) -> None:
    client, server = up.pair(edge)
    chooser.keep = {"PING"}
    client.sendall(PING)
    passage = chooser.passage("PING")
    chooser.do(lambda: setattr(passage, "asleep", True))
    server.close()
    assert ending(client) == (b"", "FIN")
    assert not passage.left
