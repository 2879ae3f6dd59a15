"""One edge of the subject's network: a listening port, where it leads, and the toxics that act on it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from brownout.wire.errors import AlreadyExists
from brownout.wire.redis.passage import Director
from brownout.wire.tcp.address import address
from brownout.wire.tcp.armed import Acted, Armed, Counters
from brownout.wire.tcp.link import NO_LINGER, Link
from brownout.wire.tcp.port import bound, listening, where
from brownout.wire.tcp.toxics import Toxic, down

if TYPE_CHECKING:
    from brownout.wire.tcp.wire import Wire

T = TypeVar("T")
Observer = Callable[[int, str, bytes], None]  # connection, stream, chunk
WATCH_AFTER = 0.02  # s; a dial on one machine is done long before


class Edge:
    """Made by `Wire.edge`. Every method may be called from any thread, the wire's own included.

    While the upstream refuses, a client that has connected is reset (RST); with `resets_refused=False` it sees the
    end of the stream (FIN), as with Toxiproxy. (A real host refuses the connection itself: that is what `down` does.)
    A client that ends its stream while a dial takes long has left: the dial is given up, so that nothing speaks to the
    upstream in its name. With `keeps_port=False` the edge binds its port only while it listens, as Toxiproxy does;
    until then `address` is `listen` as it was given.
    """

    def __init__(
        self, wire: Wire, name: str, upstream: str, listen: str, *, keeps_port: bool = True, resets_refused: bool = True
    ) -> None:
        self.name, self.seed, self.loop, self.upstream = name, wire.seed, wire.loop, upstream
        self.armed: dict[str, Armed] = {}
        self.observer: Observer | None = None
        self.director: Director | None = None
        self.plain: Callable[[bytes], bytes] | None = None
        self.enabled = False
        self._wire = wire
        self._links: set[Link] = set()
        self._dials: dict[asyncio.Task[None], float] = {}  # and when they began
        self._counts = dict.fromkeys(("connected", "closed", "reset", "refused", "abandoned"), 0)
        self._acted: dict[str, Armed] = {}
        self._number = 0
        self._resets_refused = resets_refused
        self._keeper = bound(listen) if keeps_port else None
        self.address = where(self._keeper) if self._keeper else listen  # `host:port` for the subject
        self._listener: socket.socket | None = None

    @property
    def port(self) -> int:
        """The port the subject connects to.

        While the edge is down, a program can bind this port only by its number and with SO_REUSEADDR. `up` fails only
        if that program also listens. With `keeps_port=False` every program may take the port.
        """
        return address(self.address)[1]

    @property
    def toxics(self) -> tuple[Toxic, ...]:
        """Those armed now, upstream first and in the order of adding, as in Toxiproxy; `down` is not among them."""
        return tuple(sorted((one.toxic for one in self.armed.values()), key=lambda t: str(t.stream), reverse=True))

    @property
    def counters(self) -> Counters:
        """A snapshot."""

        def snapshot() -> Counters:
            return Counters(**self._counts, toxics=tuple((name, one.acted) for name, one in self._acted.items()))

        return self._wire.run(snapshot) if self._wire.running else snapshot()

    def add(self, toxic: Toxic) -> Toxic:
        """Arm a toxic on live and new connections; the next byte meets it.

        Again with the same name: nothing if it is the same, an update if only attributes or toxicity differ,
        else AlreadyExists.
        """
        self._wire.run(lambda: self._add(toxic))
        return toxic

    def remove(self, name: str) -> bool:
        """Heal: take the toxic of that name off; False if there was none."""
        return self._wire.run(lambda: self._remove(name))

    def heal(self) -> None:
        """Take everything off, and listen. Raises as `up` does; the toxics are off nevertheless."""
        self._wire.run(lambda: [self._remove(name) for name in (*self.armed, "down")])

    def down(self) -> None:
        """Stop listening and close the live connections: `enabled: false`."""
        self.add(down())

    def up(self) -> None:
        """Listen again, on the same port. Raises WireError when another program has it; may be tried again."""
        self._wire.run(self._up)

    def reset(self) -> int:
        """RST to both ends of every live connection, now; how many those were. New ones are not touched."""

        def all_of_them() -> int:
            live = list(self._links)
            for link in live:
                link.reset("wire")
            return len(live)

        return self._wire.run(all_of_them)

    def cut(self) -> None:
        """Close every live connection, now, while new ones are accepted; counted as what "cut" did."""
        self._wire.run(lambda: self._ended(Toxic("down", name="cut"), self._end_all()))

    def redirect(self, upstream: str) -> None:
        """New connections go to this `host:port`; live ones stay where they are."""
        address(upstream)
        self.upstream = upstream

    def tap(self, observer: Observer | None) -> None:
        """Show every chunk, as it comes in and before any toxic, on the loop's thread. None costs nothing."""

        def change() -> None:
            self.observer = observer
            for pipe in [pipe for link in self._links for pipe in (link.up, link.down)]:
                pipe.route()

        self._wire.run(change)

    def direct(self, director: Director | None, plain: Callable[[bytes], bytes] | None = None) -> None:
        """Show it each request and answer of connections to come, which must speak RESP; it decides what passes.

        `plain` makes of each key the one that names it, see Conversation.
        """
        self.director, self.plain = director, plain

    def run(self, call: Callable[[], T]) -> T:
        """Call on the wire's loop and wait, see `Wire.run`."""
        return self._wire.run(call)

    def close(self) -> None:
        """Give the port back; live connections are closed."""
        self._wire.run(self.dispose)

    # --- from here on: on the loop's thread only

    def move(self, listen: str) -> None:
        """Stop, and give the port back. `listen` is bound when the edge listens again (Toxiproxy's `listen`)."""
        self.listen(False)
        if self._keeper:
            self._keeper.close()
            self._keeper = None
        self.address = listen

    def dispose(self) -> None:
        """Stop for good."""
        self.move(self.address)
        self._wire.forget(self)

    def listen(self, on: bool) -> int:
        """Start or stop; stopping closes what is live. Answers how many connections that were.

        Raises WireError when another program has the port: the edge stays down, and may be asked again.
        """
        if on is self.enabled:
            return 0
        if on:
            self._listener = listening(self.address)
            self.address = where(self._listener)
            self.enabled = True
            self.loop.add_reader(self._listener, self._accept)
            return 0
        assert self._listener
        self.enabled = False
        self.loop.remove_reader(self._listener)
        self._listener.close()
        return self._end_all()

    def _end_all(self) -> int:
        """Close every live connection with FIN, and give up every dial."""
        for dial in self._dials:
            dial.cancel()
        live = list(self._links)
        for link in live:
            link.abort()
        return len(live)

    def opening(self) -> list[asyncio.Task[None]]:
        """Connections that both peers may see already, but for which the loop was not yet there."""
        return [dial for dial, begun in self._dials.items() if self.loop.time() - begun < WATCH_AFTER]

    def note(self, kind: str, **data: Any) -> None:
        """Count, and tell."""
        if kind in self._counts:
            self._counts[kind] += 1
        self._wire.tell(kind, {"edge": self.name, **data})

    def gone(self, link: Link) -> None:
        """Both ends of it are closed."""
        if link in self._links:
            self._links.discard(link)
            self.note("closed", connection=link.number)

    def _add(self, toxic: Toxic) -> None:
        if toxic.type == "down":
            if self.enabled:
                closed = self.listen(False)
                self.note("toxic-added", toxic=toxic.name, type="down")
                self._ended(toxic, closed)
            return
        old = self.armed.get(toxic.name)
        # Compared as data: AnyToxic, which the API makes, is never equal to a Toxic.
        if old and Toxic.to_json(old.toxic) == Toxic.to_json(toxic):
            return
        if old and (old.toxic.type, old.toxic.stream) != (toxic.type, toxic.stream):
            raise AlreadyExists("toxic already exists")
        armed = old.updated(toxic) if old else Armed(toxic, self._first)
        if not old and (before := self._acted.get(toxic.name)):
            armed.acted = before.acted
        self.armed[toxic.name] = self._acted[toxic.name] = armed
        self.note("toxic-added", toxic=toxic.name, **{k: v for k, v in toxic.to_json().items() if k != "name"})
        for link in list(self._links):
            link.rearm(armed) if old else link.arm(armed)

    def _remove(self, name: str) -> bool:
        if name not in self.armed:
            return name == "down" and self._up()
        del self.armed[name]
        for link in list(self._links):
            link.disarm(name)
        self.note("toxic-removed", toxic=name)
        return True

    def _up(self) -> bool:
        if self.enabled:
            return False
        self.listen(True)
        self.note("toxic-removed", toxic="down")
        return True

    def _ended(self, toxic: Toxic, closed: int) -> None:
        if closed:
            one = self._acted.setdefault(toxic.name, Armed(toxic, self._first))
            one.acted = Acted(one.acted.connections + closed, closed=one.acted.closed + closed)
            self.note("toxic-acted", toxic=toxic.name, type="down", connections=closed, bytes=0)

    def _first(self, toxic: Toxic, connection: int, size: int) -> None:
        self.note("toxic-acted", toxic=toxic.name, type=toxic.type, connection=connection, bytes=size)

    def _accept(self) -> None:
        assert self._listener
        for _ in range(1024):
            try:
                client, _peer = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):  # nobody is waiting, or the one who was has left
                return
            except OSError as wrong:  # no descriptors left: ask again, but not at once
                self.note("refused", error=str(wrong))
                self.loop.remove_reader(self._listener)
                self.loop.call_later(0.1, self._listen_again, self._listener)
                return
            client.setblocking(False)
            self._number += 1
            dial = self.loop.create_task(self._connect(client, self._number))
            self._dials[dial] = self.loop.time()
            dial.add_done_callback(partial(self._dialled, client))

    def _dialled(self, client: socket.socket, dial: asyncio.Task[None]) -> None:
        del self._dials[dial]
        if dial.cancelled():  # before it began: nobody else has the socket
            client.close()

    def _listen_again(self, listener: socket.socket) -> None:
        if listener is self._listener and self.enabled:
            self.loop.add_reader(listener, self._accept)

    async def _connect(self, client: socket.socket, number: int) -> None:
        link = Link(self, number)
        dial: asyncio.Task[Any] | None = None
        try:
            host, port = address(self.upstream)
            dial = self.loop.create_task(self.loop.create_connection(lambda: link.server, host or "127.0.0.1", port))
            await self.loop.connect_accepted_socket(lambda: link.client, client)
            await asyncio.wait({dial}, timeout=WATCH_AFTER)
            if not dial.done():  # it takes long: not for a client that has left
                link.client.leaving = dial.cancel
                if link.client.ended or link.client.gone:
                    dial.cancel()
            await dial
            self._links.add(link)
            self.note("connected", connection=number)
            link.open()
        except (OSError, ValueError) as wrong:  # nobody listens there, or it is no address
            if client.fileno() >= 0 and self._resets_refused:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            self.note("refused", connection=number, error=str(wrong))
        except asyncio.CancelledError:  # the client has left, or the edge is down
            self.note("abandoned", connection=number)
        finally:
            if not link.opened:
                if dial:
                    dial.cancel()
                for side in (link.client, link.server):
                    if hasattr(side, "transport"):
                        side.transport.abort()
                if not hasattr(link.client, "transport"):
                    client.close()
