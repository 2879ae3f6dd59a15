"""One edge of the subject's network: a port that listens, the address it leads to, and the toxics on the edge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from brownout.wire.errors import AlreadyExists
from brownout.wire.redis.passage import Director
from brownout.wire.tcp.acceptor import Acceptor
from brownout.wire.tcp.address import address
from brownout.wire.tcp.armed import Acted, Armed, Counters
from brownout.wire.tcp.link import Link
from brownout.wire.tcp.port import bound, where
from brownout.wire.tcp.toxics import Toxic, down

if TYPE_CHECKING:
    from brownout.wire.tcp.wire import Wire

T = TypeVar("T")
Observer = Callable[[int, str, bytes], None]  # a function that gets the connection's number, the stream and the chunk


class Edge:
    """A network edge of the built-in network proxy, which `Wire.edge` creates. Every method may be called from any
    thread, also from the network proxy's thread.

    While the upstream refuses connections, the network edge accepts a client and resets it (RST). If `resets_refused`
    is False, the connection of the client is closed (FIN) and not reset, as with Toxiproxy. To refuse clients
    immediately, call the method `down`. When a client ends its stream while the edge still connects to the upstream
    server, this connecting is cancelled, so that the server never sees a client that has left. If `keeps_port` is
    False, the edge binds its port only while it listens, as Toxiproxy does; until then, `address` is the text `listen`.
    """

    def __init__(
        self, wire: Wire, name: str, upstream: str, listen: str, *, keeps_port: bool = True, resets_refused: bool = True
    ) -> None:
        self.name, self.seed, self.loop, self.upstream = name, wire.seed, wire.loop, upstream
        self.armed: dict[str, Armed] = {}
        self.observer: Observer | None = None
        self.director: Director | None = None
        self.plain: Callable[[bytes], bytes] | None = None
        self._wire = wire
        self._links: set[Link] = set()
        self._counts = dict.fromkeys(("connected", "closed", "reset", "refused", "abandoned"), 0)
        self._acted: dict[str, Armed] = {}
        self._acceptor = Acceptor(self, resets_refused=resets_refused)
        self._keeper = bound(listen) if keeps_port else None
        # the subject connects to this address, `host:port`
        self.address = where(self._keeper) if self._keeper else listen

    @property
    def enabled(self) -> bool:
        """Whether the network edge listens for clients."""
        return self._acceptor.listens

    @property
    def port(self) -> int:
        """The port to which the subject connects.

        While the edge is down, another program can bind this port only by its number and with SO_REUSEADDR. The method
        `up` fails only if another program listens on the port. If `keeps_port` is False, any program may take the port
        while the network edge is down.
        """
        return address(self.address)[1]

    @property
    def toxics(self) -> tuple[Toxic, ...]:
        """The toxics that are in force, without `down`: those on the upstream direction first, then in the order in
        which they were added."""
        toxics = (armed.toxic for armed in self.armed.values())
        return tuple(sorted(toxics, key=lambda toxic: str(toxic.stream), reverse=True))

    @property
    def counters(self) -> Counters:
        """The current counts of connections and of what the network faults did."""

        def snapshot() -> Counters:
            toxics = tuple((name, armed.acted) for name, armed in self._acted.items())
            return Counters(**self._counts, toxics=toxics)

        return self._wire.run(snapshot) if self._wire.running else snapshot()

    def add(self, toxic: Toxic) -> Toxic:
        """Add a toxic (a network fault) to the edge: it acts on live and new connections, from the next byte on.

        If a toxic with this name is already in force, an equal toxic changes nothing; a toxic with another toxicity or
        other attributes replaces it. Raises AlreadyExists when a network fault with this name has another type or
        stream.
        """
        self._wire.run(lambda: self._add(toxic))
        return toxic

    def remove(self, name: str) -> bool:
        """Remove the network fault with this name; return False if there is no such fault."""
        return self._wire.run(lambda: self._remove(name))

    def heal(self) -> None:
        """Remove all network faults from the network edge, and listen. Raises the errors of `up`; the network faults
        are removed even when `up` fails."""
        self._wire.run(lambda: [self._remove(name) for name in (*self.armed, "down")])

    def down(self) -> None:
        """Stop listening and close the live connections, as `enabled: false` does in Toxiproxy."""
        self.add(down())

    def up(self) -> None:
        """Listen again on the same port. Raises WireError when another program uses the port; the method may then be
        called again."""
        self._wire.run(self._up)

    def reset(self) -> int:
        """Send RST to both ends of every live connection now; return the number of connections that were reset."""

        def reset_links() -> int:
            live = list(self._links)
            for link in live:
                link.reset("wire")
            return len(live)

        return self._wire.run(reset_links)

    def cut(self) -> None:
        """Close every live connection now, and go on accepting new ones. The counters of network faults also count
        this, under the name "cut"."""
        self._wire.run(lambda: self._ended(Toxic("down", name="cut"), self._end_all()))

    def redirect(self, upstream: str) -> None:
        """Send new connections to this `host:port`; live connections do not change."""
        address(upstream)
        self.upstream = upstream

    def tap(self, observer: Observer | None) -> None:
        """Call the function `observer` with every chunk of bytes, before any toxic acts, on the thread of the event
        loop; the argument None removes the observer."""

        def change() -> None:
            self.observer = observer
            for pipe in [pipe for link in self._links for pipe in (link.up, link.down)]:
                pipe.route()

        self._wire.run(change)

    def direct(self, director: Director | None, plain: Callable[[bytes], bytes] | None = None) -> None:
        """Let `director` decide which requests and answers pass on new connections, which must speak RESP.

        The function `plain` converts a Redis key to the key that names of requests contain, see Conversation.
        """
        self.director, self.plain = director, plain

    def run(self, call: Callable[[], T]) -> T:
        """Run `call` on the network proxy's event loop and wait for its result, see `Wire.run`."""
        return self._wire.run(call)

    def close(self) -> None:
        """Close the network edge for good: free the port, and close live connections."""
        self._wire.run(self.dispose)

    # --- methods that only the thread of the event loop may call

    def move(self, listen: str) -> None:
        """Stop listening and free the port. When the network edge listens again, it will bind the address `listen`."""
        self.listen(False)
        if self._keeper:
            self._keeper.close()
            self._keeper = None
        self.address = listen

    def dispose(self) -> None:
        """Close the network edge for good, on the loop's thread."""
        self.move(self.address)
        self._wire.forget(self)

    def listen(self, on: bool) -> int:
        """Begin or stop to listen at the network edge's port. When the network edge stops, its live connections are
        closed. Returns how many connections were closed.

        Raises WireError when another program uses the port. The network edge then does not listen, and `listen` may be
        called again.
        """
        if on is self.enabled:
            return 0
        if on:
            self.address = self._acceptor.start(self.address)
            return 0
        self._acceptor.stop()
        return self._end_all()

    def _end_all(self) -> int:
        """Close every live connection with FIN, and cancel those that are being opened; return how many were closed."""
        self._acceptor.cancel()
        live = list(self._links)
        for link in live:
            link.abort()
        return len(live)

    def opening(self) -> list[asyncio.Task[None]]:
        """Return the connections to the upstream server whose opening began recently."""
        return self._acceptor.opening()

    def note(self, kind: str, **data: Any) -> None:
        """Count an event of this kind, and pass it to the network proxy's function `on_event`."""
        if kind in self._counts:
            self._counts[kind] += 1
        self._wire.tell(kind, {"edge": self.name, **data})

    def opened(self, link: Link) -> None:
        """Add a link (a connection through the network edge) whose two ends are connected."""
        self._links.add(link)
        self.note("connected", connection=link.number)

    def gone(self, link: Link) -> None:
        """Remove a link (a connection through the network edge) whose two ends are closed."""
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
        # The JSON is compared because an AnyToxic, which the API makes, is never equal to a Toxic.
        if old and Toxic.to_json(old.toxic) == Toxic.to_json(toxic):
            return
        if old and (old.toxic.type, old.toxic.stream) != (toxic.type, toxic.stream):
            raise AlreadyExists("toxic already exists")
        armed = old.updated(toxic) if old else Armed(toxic, self._first_act)
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
            armed = self._acted.setdefault(toxic.name, Armed(toxic, self._first_act))
            armed.acted = Acted(armed.acted.connections + closed, closed=armed.acted.closed + closed)
            self.note("toxic-acted", toxic=toxic.name, type="down", connections=closed, bytes=0)

    def _first_act(self, toxic: Toxic, connection: int, size: int) -> None:
        self.note("toxic-acted", toxic=toxic.name, type=toxic.type, connection=connection, bytes=size)
