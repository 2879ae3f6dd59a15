"""Accepts the clients of an edge, and connects each client to the edge's upstream."""

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

WATCH_AFTER = 0.02  # s; the edge gives up connecting to the upstream after this time


class Acceptor:
    """Listens at the port of an edge. Every method must be called on the thread of the wire's event loop."""

    def __init__(self, edge: Edge, *, resets_refused: bool) -> None:
        self._edge, self._loop, self._resets_refused = edge, edge.loop, resets_refused
        self._listener: socket.socket | None = None
        # A dial opens a connection to the upstream; the value is the dial's start time (s, the loop's clock).
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
        """Cancel every dial, which is a connection to the upstream that is being opened."""
        for dial in self.dials:
            dial.cancel()

    def opening(self) -> list[asyncio.Task[None]]:
        """Return recent dials: client and upstream may see a connection as open before the event loop has handled
        it."""
        return [dial for dial, start in self.dials.items() if self._loop.time() - start < WATCH_AFTER]

    def accept(self) -> None:
        """Accept the clients that wait, and start a dial for each."""
        assert self._listener
        for _ in range(1024):
            try:
                client, _peer = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):  # no client is waiting, or the client has left
                return
            except OSError as wrong:  # no file descriptors are left: accept again after a pause
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
        if dial.cancelled():  # a task that is cancelled before its start never runs its own clean-up
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
            if not dial.done():  # connecting takes long: cancel the dial when the client leaves
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
        except asyncio.CancelledError:  # the client has left, or the edge was taken down
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
