"""A connection through an edge, request by request: a director lets each one pass, or does something else with it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from brownout.wire.redis.conversation import Answer, Conversation, Request
from brownout.wire.redis.resp import ProtocolError

if TYPE_CHECKING:
    from brownout.wire.tcp.link import Link


class Director(Protocol):
    """Decides, on the loop's thread. False keeps a request or answer, and all that follows it on its stream."""

    def request(self, passage: Passage, request: Request) -> bool:
        """The client has sent it. May it go to the server?"""

    def answer(self, passage: Passage, answer: Answer) -> bool:
        """The server has answered. May it go to the client?"""

    def ended(self, passage: Passage) -> None:
        """The connection is over."""


class Passage:
    """Made by `Link` where its edge has a director.

    What the director keeps is let go by `let`, answered by `refuse`, or dropped with the connection.
    """

    def __init__(self, link: Link, director: Director) -> None:
        self.link, self.director = link, director
        self.edge = link.edge.name.rpartition(".")[2]  # without a bench's number
        self.asleep = False  # its client may leave: the server's side stays for what is kept
        self.left = False  # it has, meanwhile; the server has not been told
        self._conversation = Conversation(link.edge.plain)
        self._pending = self._conversation.pending
        self._asked: deque[Request] = deque()
        self._said: deque[Answer] = deque()
        self._keeps_asked = self._keeps_said = False  # the first of them
        self._asking = self._saying = False

    def asked(self, data: bytes = b"") -> None:
        """A chunk from the client. What is not RESP ends the connection.

        The director is asked about one request after the other until one is kept. Kept is what it is asked about, so
        that it may let or refuse it at once.
        """
        try:
            self._asked += self._conversation.asked(data) if data else ()
        except ProtocolError as wrong:
            self._garbled(wrong)
        if self._asking:
            return
        self._asking = True
        try:
            while self._asked and not self._keeps_asked and not self.link.over:
                self._keeps_asked = True
                request = self._asked[0]
                if self.director.request(self, request) and self._keeps_asked:
                    self._keeps_asked = False
                    self._asked.popleft()
                    self._pending.append(request)
                    self.link.up.send(request.raw)
        finally:
            self._asking = False

    def said(self, data: bytes = b"") -> None:
        """A chunk from the server. The same loop, written twice: every chunk comes through here."""
        try:
            self._said += self._conversation.said(data) if data else ()
        except ProtocolError as wrong:
            self._garbled(wrong)
        if self._saying:
            return
        self._saying = True
        try:
            while self._said and not self._keeps_said and not self.link.over:
                self._keeps_said = True
                answer = self._said[0]
                if self.director.answer(self, answer) and self._keeps_said:
                    self._keeps_said = False
                    self._said.popleft()
                    self.link.down.send(answer.raw)
        finally:
            self._saying = False

    def let(self, stream: str) -> None:
        """Let the kept one pass; the director is asked about those that follow it."""
        if stream == "upstream" and self._keeps_asked:
            self._keeps_asked = False
            request = self._asked.popleft()
            self._pending.append(request)
            self.link.up.send(request.raw)
            self.asked()
        elif stream == "downstream" and self._keeps_said:
            self._keeps_said = False
            self.link.down.send(self._said.popleft().raw)
            self.said()

    def again(self, stream: str) -> None:
        """Ask the director about the kept one once more."""
        if stream == "upstream":
            self._keeps_asked = False
            self.asked()
        else:
            self._keeps_said = False
            self.said()

    def refuse(self, reply: bytes) -> None:
        """Answer the kept request in its turn, instead of the server, which never sees it."""
        self._keeps_asked = False
        request = self._asked.popleft()
        request.canned = reply
        self._conversation.sent(request)
        self._said += self._conversation.turn()
        self.said()
        self.asked()

    def tear(self) -> None:
        """Give the client half of the kept answer, then end the connection."""
        if self._said and not self.link.over:
            raw = self._said[0].raw
            self.link.down.send(raw[: len(raw) // 2])
            self.link.client.transport.close()
            self.link.server.transport.close()

    def cut(self) -> None:
        """End the connection on both sides (FIN); what is kept is dropped."""
        self.link.abort()

    def reset(self) -> None:
        """The same by RST."""
        self.link.reset("director")

    def keeps_open(self, stream: str) -> bool:
        """Asked when a side has left."""
        keeps = self.asleep and stream == "upstream"
        self.left |= keeps
        return keeps

    def _garbled(self, wrong: ProtocolError) -> None:
        self.link.edge.note("garbled", connection=self.link.number, error=str(wrong))
        self.cut()
