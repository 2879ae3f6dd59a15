"""Accepts the clients of a network edge, and connects each client to the edge's upstream."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from brownout.wire.tcp.address import address
from brownout.wire.tcp.link import NO_LINGER, Link
from brownout.wire.tcp.port import listening, where

if TYPE_CHECKING:
    from brownout.wire.tcp.edge import Edge

WATCH_AFTER = 0.02  # seconds; the network edge gives up connecting to the upstream after this time


class Acceptor:
    """Listens at the port of a network edge. Every method must be called on the thread of the network proxy's event
    loop."""

    def __init__(self, edge: Edge, *, resets_refused: bool) -> None:
        self._edge, self._loop, self._resets_refused = edge, edge.loop, resets_refused
        self._listener: socket.socket | None = None
        # Tasks that open a connection to the upstream server (dials), each with its start time (s, by the event loop's
        # clock).
        self.dials: dict[asyncio.Task[None], float] = {}
        self._number = 0

    @property
    def listens(self) -> bool:
        """Whether clients can connect."""
        return self._listener is not None

    def start(self, listen: str) -> str:
        """Listen at `listen`, and return the bound `host:port`. Raises WireError when another program has the port."""
        self._listener = listening(listen)
        self._loop.add_reader(self._listener, self.accept)
        return where(self._listener)

    def stop(self) -> None:
        """Close the listening socket; connections stay as they are."""
        assert self._listener
        self._loop.remove_reader(self._listener)
        self._listener.close()
        self._listener = None

    def cancel(self) -> None:
        """Cancel every connection to the upstream server that is still being opened."""
        for dial in self.dials:
            dial.cancel()

    def opening(self) -> list[asyncio.Task[None]]:
        """Return the connections to the upstream server whose opening began recently: client and server may regard them
        as open before the event loop does."""
        return [dial for dial, start in self.dials.items() if self._loop.time() - start < WATCH_AFTER]

    def accept(self) -> None:
        """Accept the clients that wait, and begin to open a connection to the upstream server for each client."""
        assert self._listener
        for _ in range(1024):
            try:
                client, _peer = self._listener.accept()
            # this error means that no client is waiting, or that the client has left
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as wrong:  # there are no free file descriptors: accept clients again after a pause
                self._edge.note("refused", error=str(wrong))
                self._loop.remove_reader(self._listener)
                self._loop.call_later(0.1, self._listen_again, self._listener)
                return
            client.setblocking(False)
            self._number += 1
            dial = self._loop.create_task(self._connect(client, self._number))
            self.dials[dial] = self._loop.time()
            dial.add_done_callback(partial(self._dialled, client))

    def _dialled(self, client: socket.socket, dial: asyncio.Task[None]) -> None:
        del self.dials[dial]
        # this is needed because a task that is cancelled before its start never runs its own clean-up
        if dial.cancelled():
            client.close()

    def _listen_again(self, listener: socket.socket) -> None:
        if listener is self._listener:
            self._loop.add_reader(listener, self.accept)

    async def _connect(self, client: socket.socket, number: int) -> None:
        link = Link(self._edge, number)
        dial: asyncio.Task[Any] | None = None
        try:
            host, port = address(self._edge.upstream)
            dial = self._loop.create_task(self._loop.create_connection(lambda: link.server, host or "127.0.0.1", port))
            await self._loop.connect_accepted_socket(lambda: link.client, client)
            await asyncio.wait({dial}, timeout=WATCH_AFTER)
            # when the connection to the upstream takes long, it is given up as soon as the client leaves
            if not dial.done():
                link.client.leaving = dial.cancel
                if link.client.ended or link.client.gone:
                    dial.cancel()
            await dial
            self._edge.opened(link)
            link.open()
        except (OSError, ValueError) as wrong:  # no server listens at the upstream, or the address is malformed
            if client.fileno() >= 0 and self._resets_refused:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            self._edge.note("refused", connection=number, error=str(wrong))
        except asyncio.CancelledError:  # this error comes when the client has left, or when the network edge was closed
            self._edge.note("abandoned", connection=number)
        finally:
            if not link.opened:
                if dial:
                    dial.cancel()
                for side in (link.client, link.server):
                    if hasattr(side, "transport"):
                        side.transport.abort()
                if not hasattr(link.client, "transport"):
                    client.close()
