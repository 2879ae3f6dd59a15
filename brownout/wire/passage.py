"""A connection through an edge, request by request: a director lets each one pass, or does something else with it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from brownout.wire.conversation import Answer, Conversation, Request
from brownout.wire.resp import ProtocolError

if TYPE_CHECKING:
    from brownout.wire.link import Link


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
        self._conversation = Conversation()
        self._asked: deque[Request] = deque()
        self._said: deque[Answer] = deque()
        self._keeps_asked = self._keeps_said = False  # the first of them
        self._pumping_asked = self._pumping_said = False

    def asked(self, data: bytes) -> None:
        """A chunk from the client. What is not RESP ends the connection."""
        try:
            self._asked += self._conversation.asked(data)
        except ProtocolError as wrong:
            self._garbled(wrong)
        self._pump_asked()

    def said(self, data: bytes) -> None:
        """A chunk from the server."""
        try:
            self._said += self._conversation.said(data)
        except ProtocolError as wrong:
            self._garbled(wrong)
        self._pump_said()

    def let(self, stream: str) -> None:
        """Let the kept one pass; the director is asked about those that follow it."""
        if stream == "upstream" and self._keeps_asked:
            self._keeps_asked = False
            self._go_up()
            self._pump_asked()
        elif stream == "downstream" and self._keeps_said:
            self._keeps_said = False
            self._go_down()
            self._pump_said()

    def again(self, stream: str) -> None:
        """Ask the director about the kept one once more."""
        if stream == "upstream":
            self._keeps_asked = False
            self._pump_asked()
        else:
            self._keeps_said = False
            self._pump_said()

    def refuse(self, reply: bytes) -> None:
        """Answer the kept request in its turn, instead of the server, which never sees it."""
        self._keeps_asked = False
        request = self._asked.popleft()
        request.canned = reply
        self._conversation.sent(request)
        self._said += self._conversation.turn()
        self._pump_said()
        self._pump_asked()

    def tear(self) -> None:
        """Give the client half of the kept answer, then end the connection."""
        if self._said and not self.link.over:
            raw = self._said[0].raw
            self.link.down.write(raw[: len(raw) // 2])
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

    def _pump_asked(self) -> None:
        """Ask about one after the other until one is kept. Kept is what it is asked about, so that the director may
        let or refuse it at once. Both pumps are one loop written twice: every chunk comes through here.
        """
        if self._pumping_asked:
            return
        self._pumping_asked = True
        try:
            while self._asked and not self._keeps_asked and not self.link.over:
                self._keeps_asked = True
                if self.director.request(self, self._asked[0]) and self._keeps_asked:
                    self._keeps_asked = False
                    self._go_up()
        finally:
            self._pumping_asked = False

    def _pump_said(self) -> None:
        if self._pumping_said:
            return
        self._pumping_said = True
        try:
            while self._said and not self._keeps_said and not self.link.over:
                self._keeps_said = True
                if self.director.answer(self, self._said[0]) and self._keeps_said:
                    self._keeps_said = False
                    self._go_down()
        finally:
            self._pumping_said = False

    def _go_up(self) -> None:
        request = self._asked.popleft()
        self._conversation.pending.append(request)
        self.link.up.write(request.raw)

    def _go_down(self) -> None:
        self.link.down.write(self._said.popleft().raw)

    def _garbled(self, wrong: ProtocolError) -> None:
        self.link.edge.note("garbled", connection=self.link.number, error=str(wrong))
        self.cut()
