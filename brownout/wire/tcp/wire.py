"""The built-in network proxy: every edge of a subject's network on one event loop, in one thread of the test's process.

The built-in network proxy has Toxiproxy's toxics and more toxics (see `Toxic.wires`). A network edge without a toxic
(network fault) passes all bytes on unchanged. The built-in network proxy differs from Toxiproxy on purpose: it passes
half-closes and resets on (Toxiproxy closes both streams with FIN), takes all random draws from one seed, and listens
only on the loopback.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from importlib.util import find_spec
from typing import Any, Literal, Self, TypeVar

from brownout.wire.errors import AlreadyExists, Unreachable, WireError
from brownout.wire.tcp.acceptor import WATCH_AFTER
from brownout.wire.tcp.address import address, edge_name
from brownout.wire.tcp.edge import Edge

T = TypeVar("T")
OnEvent = Callable[[str, dict[str, Any]], None]
DEADLINE = 5.0  # seconds; the time-out of a call on the event loop
LoopName = Literal["asyncio", "uvloop"]


def default_loop() -> LoopName:
    """Return "uvloop" if it is installed, else "asyncio"."""
    return "uvloop" if find_spec("uvloop") else "asyncio"


def new_loop(name: LoopName) -> asyncio.AbstractEventLoop:
    """Return a new event loop. Raises ImportError for "uvloop" when it is not installed."""
    if name == "asyncio":
        return asyncio.SelectorEventLoop()
    import uvloop  # uvloop is imported only when a network proxy is started

    return uvloop.new_event_loop()


class Wire:
    """The built-in network proxy, which runs in the current process. Use the object as a context manager, or call
    `start()` and `close()`.

    `on_event(kind, data)` is called on the loop's thread, so it must be quick. The kinds of event are connected,
    closed, reset, refused, abandoned, toxic-added, toxic-removed, and toxic-acted; the last comes once for each
    connection. The method `close()` raises the errors of `on_event` again. All random numbers follow from `seed`: a
    number depends on the seed, the edge, the connection's ordinal and the toxic. `loop` is "uvloop" or "asyncio". The
    default of `loop` is uvloop if it is installed, because uvloop needs a quarter less CPU for each request
    (docs/evidence/wire.md).
    """

    kind = "builtin"

    def __init__(self, *, seed: int = 0, on_event: OnEvent | None = None, loop: LoopName | None = None) -> None:
        self.seed = seed
        self.loop_name = loop or default_loop()
        self.edges: dict[str, Edge] = {}
        self.loop: asyncio.AbstractEventLoop
        self._on_event = on_event
        self._thread: threading.Thread | None = None
        self._api: asyncio.Server | None = None
        self._wrong: Exception | None = None

    def start(self) -> Self:
        """Start the event loop in its thread; idempotent."""
        if not self._thread:
            self.loop = new_loop(self.loop_name)
            self.loop.set_exception_handler(self._uncaught)
            self._thread = threading.Thread(target=self.loop.run_forever, name="brownout-wire", daemon=True)
            self._thread.start()
        return self

    def edge(self, name: str, upstream: str) -> Edge:
        """Return a new edge that listens on a free port of 127.0.0.1 and leads to `upstream` (`host:port`).

        Raises AlreadyExists, BadRequest for a malformed address, and WireError if the network proxy was not started.
        """
        address(upstream)
        return self.run(lambda: self.create(edge_name(name), upstream, "127.0.0.1:0"))

    def serve_api(self, port: int = 0) -> int:
        """Serve Toxiproxy's HTTP API for these network edges on 127.0.0.1; return the port."""
        # the module of the HTTP API is imported only when the API is needed
        from brownout.wire.toxiproxy.api import serve

        if self._api is None:
            self._api = self.wait(serve(self, port))
        return int(self._api.sockets[0].getsockname()[1])

    @property
    def pid(self) -> int | None:
        """None instead of a pid, because the built-in network proxy runs in the current process."""
        return None

    def close(self) -> None:
        """Close every network edge and connection and the API, and end the thread; idempotent.

        Raises WireError for an error of `on_event`, and for an uncaught error in a callback of the loop: events of the
        network proxy may be wrong then.
        """
        if thread := self._thread:
            try:
                self.wait(self._shutdown())
            finally:  # the event loop's thread must end even after an error
                self._thread = None
                self.loop.call_soon_threadsafe(self.loop.stop)
                thread.join(DEADLINE)
                if not thread.is_alive():
                    self.loop.close()
        if self._wrong:
            wrong, self._wrong = self._wrong, None
            raise WireError(f"the wire failed: {type(wrong).__name__}: {wrong}") from wrong

    def _uncaught(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Remember an uncaught error of the event loop; an error of a task is not remembered, because it is raised
        where the task is awaited."""
        wrong = context.get("exception")
        if isinstance(wrong, Exception) and not isinstance(wrong, OSError) and not context.keys() & {"task", "future"}:
            self._wrong = self._wrong or wrong
        loop.default_exception_handler(context)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, call: Callable[[], T]) -> T:
        """Run `call` on the loop's thread and return its result.

        Before the call, the event loop handles new connections that client and server already regard as open, so that a
        fault acts on all of them. When `run` returns, the sockets that `call` has closed are really closed. Raises the
        errors that `wait` raises.
        """
        if self._thread and threading.get_ident() == self._thread.ident:
            return call()

        async def there() -> T:
            await self.settle()
            result = call()
            await asyncio.sleep(0)  # wait until the event loop has called connection_lost of aborted connections
            return result

        return self.wait(there())

    def ask(self, question: Callable[[], T]) -> T:
        """Run the function `question` on the event loop's thread and return its result; new connections are not handled
        first. Raises the errors that `wait` raises."""

        async def there() -> T:
            return question()

        return self.wait(there())

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` on the event loop; return its result. Raises Unreachable when there is no result after DEADLINE
        seconds."""
        if not self._thread:
            work.close()
            raise WireError("the wire is not started: call start()")
        done: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return done.result(DEADLINE)
        except TimeoutError:
            done.cancel()
            raise Unreachable(f"the wire's loop did not answer within {DEADLINE:g} s") from None

    @property
    def running(self) -> bool:
        """Whether the network proxy was started and not closed."""
        return self._thread is not None

    # --- methods that only the thread of the event loop may call

    async def settle(self) -> None:
        """Let the event loop handle new connections; wait at most WATCH_AFTER for connections to upstream servers."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # two sleeps are needed, because the event loop polls the selector between them
        if opening := [dial for edge in self.edges.values() for dial in edge.opening()]:
            await asyncio.wait(opening, timeout=WATCH_AFTER)

    def create(self, name: str, upstream: str, listen: str, enabled: bool = True) -> Edge:
        """Return a new network edge: a port at which the network proxy listens. Raises AlreadyExists, and BadRequest or
        WireError if `listen` is not possible."""
        if name in self.edges:
            raise AlreadyExists("proxy already exists")
        edge = Edge(self, name, upstream, listen)
        try:
            edge.listen(enabled)
        except WireError:
            edge.dispose()
            raise
        self.edges[name] = edge
        return edge

    def forget(self, edge: Edge) -> None:
        """Remove a closed network edge from the network proxy."""
        if self.edges.get(edge.name) is edge:
            del self.edges[edge.name]

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        """Call `on_event` for an event of the network proxy. If the function `on_event` raises an error, the network
        proxy goes on; the method `close` raises the first such error."""
        if self._on_event:
            try:
                self._on_event(kind, data)
            except Exception as wrong:
                self._wrong = self._wrong or wrong

    async def _shutdown(self) -> None:
        if self._api:
            self._api.close()
        for edge in list(self.edges.values()):
            edge.dispose()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await asyncio.sleep(0)
