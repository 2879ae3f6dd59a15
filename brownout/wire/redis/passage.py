"""A passage is a connection to Redis, request by request: a director decides which requests and answers pass."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from brownout.wire.redis.conversation import Answer, Conversation, Request
from brownout.wire.redis.resp import ProtocolError

if TYPE_CHECKING:
    from brownout.wire.tcp.link import Link


class Director(Protocol):
    """An object that decides which requests and answers pass; its methods are called on the thread of the network
    proxy's event loop.

    When the director returns False, the passage keeps the request or answer, and everything that follows on the same
    stream.
    """

    def request(self, passage: Passage, request: Request) -> bool:
        """Return whether this request of the client may go to the server now."""

    def answer(self, passage: Passage, answer: Answer) -> bool:
        """Return whether this answer of the server may go to the client now."""

    def ended(self, passage: Passage) -> None:
        """Note that the connection is closed."""


class Passage:
    """A connection on a network edge whose director decides which requests pass; the class `Link` creates passages.

    When the director has kept back a request or an answer, `let` makes it pass; `refuse` answers a request that was
    kept back. Kept requests and answers are dropped when the connection closes.
    """

    def __init__(self, link: Link, director: Director) -> None:
        self.link, self.director = link, director
        # converts a Redis key to the key without a prefix that ends with a dot
        self.edge = link.edge.name.rpartition(".")[2]
        # when the client leaves, the connection to the server stays open, because a request of the client is still kept
        # back
        self.asleep = False
        self.left = False  # whether the client has left while a request is kept, so that the server does not know yet
        self._conversation = Conversation(link.edge.plain)
        self._pending = self._conversation.pending
        self._requests: deque[Request] = deque()
        self._answers: deque[Answer] = deque()
        # whether the director keeps back the first request or answer of the deque
        self._keeps_request = self._keeps_answer = False
        self._in_requests = self._in_answers = False  # whether the method `from_client` or `from_server` is running

    def from_client(self, data: bytes = b"") -> None:
        """Handle a chunk of bytes from the client. Bytes that are not RESP close the connection.

        The director decides about each request in order, until it keeps a request. While the director decides, the
        request counts as kept back, so the director may call `let` or `refuse` before it returns.
        """
        try:
            self._requests += self._conversation.requests(data) if data else ()
        except ProtocolError as wrong:
            self._garbled(wrong)
        if self._in_requests:
            return
        self._in_requests = True
        try:
            while self._requests and not self._keeps_request and not self.link.over:
                self._keeps_request = True
                request = self._requests[0]
                if self.director.request(self, request) and self._keeps_request:
                    self._keeps_request = False
                    self._requests.popleft()
                    self._pending.append(request)
                    self.link.up.send(request.raw)
        finally:
            self._in_requests = False

    def from_server(self, data: bytes = b"") -> None:
        """Handle a chunk of bytes from the server. The code repeats the loop of `from_client`, because a shared
        function would be slower for every chunk."""
        try:
            self._answers += self._conversation.answers(data) if data else ()
        except ProtocolError as wrong:
            self._garbled(wrong)
        if self._in_answers:
            return
        self._in_answers = True
        try:
            while self._answers and not self._keeps_answer and not self.link.over:
                self._keeps_answer = True
                answer = self._answers[0]
                if self.director.answer(self, answer) and self._keeps_answer:
                    self._keeps_answer = False
                    self._answers.popleft()
                    self.link.down.send(answer.raw)
        finally:
            self._in_answers = False

    def let(self, stream: str) -> None:
        """Let the kept request or answer pass; then the director decides about the requests or answers behind it."""
        if stream == "upstream" and self._keeps_request:
            self._keeps_request = False
            request = self._requests.popleft()
            self._pending.append(request)
            self.link.up.send(request.raw)
            self.from_client()
        elif stream == "downstream" and self._keeps_answer:
            self._keeps_answer = False
            self.link.down.send(self._answers.popleft().raw)
            self.from_server()

    def again(self, stream: str) -> None:
        """Let the director decide once more about the request or answer that was kept back."""
        if stream == "upstream":
            self._keeps_request = False
            self.from_client()
        else:
            self._keeps_answer = False
            self.from_server()

    def refuse(self, reply: bytes) -> None:
        """Answer the request that was kept back with `reply`, after the answers to earlier requests. The server never
        gets this request."""
        self._keeps_request = False
        request = self._requests.popleft()
        request.canned = reply
        self._conversation.sent(request)
        self._answers += self._conversation.canned_answers()
        self.from_server()
        self.from_client()

    def tear(self) -> None:
        """Send the first half of the kept answer to the client, then close the connection."""
        if self._answers and not self.link.over:
            raw = self._answers[0].raw
            self.link.down.send(raw[: len(raw) // 2])
            self.link.client.transport.close()
            self.link.server.transport.close()

    def cut(self) -> None:
        """Close the connection on both sides (FIN); kept requests and answers are dropped."""
        self.link.abort()

    def reset(self) -> None:
        """Close the connection on both sides with RST."""
        self.link.reset("director")

    def keeps_open(self, stream: str) -> bool:
        """Return whether this direction of the connection stays open although the sender has closed the connection."""
        keeps = self.asleep and stream == "upstream"
        self.left |= keeps
        return keeps

    def _garbled(self, wrong: ProtocolError) -> None:
        self.link.edge.note("garbled", connection=self.link.number, error=str(wrong))
        self.cut()
