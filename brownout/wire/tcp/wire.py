"""The built-in wire: every edge of a subject's network on one event loop, in one thread of the test's process.

It does what Toxiproxy does and what Toxiproxy cannot (`Toxic.wires` says which); an edge without a toxic
changes no byte. Where it differs from Toxiproxy on purpose: half-closes and resets are carried through (Toxiproxy
closes both ways, with FIN), every draw comes from one seed, and only the loopback is listened on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from importlib.util import find_spec
from typing import Any, Literal, Self, TypeVar

from brownout.wire.errors import AlreadyExists, Unreachable, WireError
from brownout.wire.tcp.address import address, edge_name
from brownout.wire.tcp.edge import WATCH_AFTER, Edge

T = TypeVar("T")
OnEvent = Callable[[str, dict[str, Any]], None]
DEADLINE = 5.0  # s, for the loop to do what it was told
LoopName = Literal["asyncio", "uvloop"]


def default_loop() -> LoopName:
    """See Wire."""
    return "uvloop" if find_spec("uvloop") else "asyncio"


def new_loop(name: LoopName) -> asyncio.AbstractEventLoop:
    """A loop of that kind. Raises ImportError without uvloop."""
    if name == "asyncio":
        return asyncio.SelectorEventLoop()
    import uvloop  # only where a wire is started

    return uvloop.new_event_loop()


class Wire:
    """Use it as a context manager, or `start()` and `close()` it.

    `on_event(kind, data)` is called on the loop's thread, so it must be quick: connected, closed, reset, refused,
    abandoned, toxic-added, toxic-removed, and toxic-acted the first time on each connection. What it raises is
    raised again by `close()`. `seed` decides every draw of every toxic: the same seed, edge, ordinal of the
    connection and toxic draw the same. `loop` is "uvloop" or "asyncio": the first where it is installed, which costs a
    quarter less CPU for each request (docs/evidence/wire.md).
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
        """Start the loop; idempotent."""
        if not self._thread:
            self.loop = new_loop(self.loop_name)
            self.loop.set_exception_handler(self._heard)
            self._thread = threading.Thread(target=self.loop.run_forever, name="brownout-wire", daemon=True)
            self._thread.start()
        return self

    def edge(self, name: str, upstream: str) -> Edge:
        """A new edge that listens on a free port of 127.0.0.1 and leads to `upstream` (`host:port`).

        Raises AlreadyExists, BadRequest for a malformed address, and WireError if the wire was not started.
        """
        address(upstream)
        return self.run(lambda: self.create(edge_name(name), upstream, "127.0.0.1:0"))

    def serve_api(self, port: int = 0) -> int:
        """Serve Toxiproxy's HTTP API for these edges on 127.0.0.1; the port."""
        from brownout.wire.toxiproxy.api import serve  # only on request

        if self._api is None:
            self._api = self.wait(serve(self, port))
        return int(self._api.sockets[0].getsockname()[1])

    @property
    def pid(self) -> int | None:
        """See AnyWire: it lives in this process."""
        return None

    def close(self) -> None:
        """Close every edge, connection and the API, end the thread; idempotent.

        Raises WireError for what `on_event` raised, and for an error in a callback of the loop that nobody caught: what
        was seen of the wire may be wrong then.
        """
        if thread := self._thread:
            try:
                self.wait(self._shutdown())
            finally:  # whatever goes wrong, the thread ends
                self._thread = None
                self.loop.call_soon_threadsafe(self.loop.stop)
                thread.join(DEADLINE)
                if not thread.is_alive():
                    self.loop.close()
        if self._wrong:
            wrong, self._wrong = self._wrong, None
            raise WireError(f"the wire failed: {type(wrong).__name__}: {wrong}") from wrong

    def _heard(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The loop tells of an error that nobody caught. That of a task is read by whoever waits for the task."""
        wrong = context.get("exception")
        if isinstance(wrong, Exception) and not isinstance(wrong, OSError) and not context.keys() & {"task", "future"}:
            self._wrong = self._wrong or wrong
        loop.default_exception_handler(context)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, call: Callable[[], T]) -> T:
        """Run it on the loop's thread and wait.

        Before, connections that both peers have are open here too, so that a fault acts on all of them; when it
        returns, sockets that it closed are closed.
        """
        if self._thread and threading.get_ident() == self._thread.ident:
            return call()

        async def there() -> T:
            await self.settle()
            result = call()
            await asyncio.sleep(0)  # after the connection_lost of what was aborted
            return result

        return self.wait(there())

    def ask(self, question: Callable[[], T]) -> T:
        """Answer a question on the loop's thread, at once: nothing is settled before. Raises as `wait` does."""

        async def there() -> T:
            return question()

        return self.wait(there())

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Await it on the loop. Raises Unreachable after DEADLINE."""
        if not self._thread:
            work.close()
            raise WireError("the wire is not started")
        done: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return done.result(DEADLINE)
        except TimeoutError:
            done.cancel()
            raise Unreachable(f"the wire's loop did not answer within {DEADLINE:g} s") from None

    @property
    def running(self) -> bool:
        """Between `start` and `close`."""
        return self._thread is not None

    # --- from here on: on the loop's thread only

    async def settle(self) -> None:
        """Let the loop catch up with connections that exist; a dial that takes long is not waited for."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the selector has been asked in between
        if opening := [dial for edge in self.edges.values() for dial in edge.opening()]:
            await asyncio.wait(opening, timeout=WATCH_AFTER)

    def create(self, name: str, upstream: str, listen: str, enabled: bool = True) -> Edge:
        """Raises AlreadyExists; BadRequest or WireError if `listen` will not do."""
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
        """It is closed."""
        if self.edges.get(edge.name) is edge:
            del self.edges[edge.name]

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        """Call `on_event`; it cannot break the wire."""
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
