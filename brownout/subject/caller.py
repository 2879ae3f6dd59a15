"""A process of the application that sends and calls tasks for the clients, as the harness sees it."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from brownout.probes.line import now
from brownout.subject import custody
from brownout.subject.launcher import Launcher
from brownout.subject.part import Part

LOOK = 0.2  # s between two looks at whether the process has ended before it connected
_NUMBERS = count(1)


class CallerEnded(RuntimeError):
    """The process is gone: nobody can send any more."""


class Answers:
    """What comes back for one order, in its order; `last` ends it."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Mapping[str, Any]] = SimpleQueue()

    def put(self, answer: Mapping[str, Any]) -> None:
        """Another answer."""
        self._queue.put(answer)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        while True:
            answer = self._queue.get()
            yield answer
            if answer.get("last"):
                return


class Caller:
    """Launched at once; `ready` when the application is imported.

    `part` is given the address at which its process finds the harness. Raises OSError when it cannot be started.
    """

    def __init__(self, launcher: Launcher, part: Callable[[str], Part], log: Path) -> None:
        self._stack = ExitStack()
        try:
            listener, address = self._listener()
            self.process = launcher.launch(part(address), log)
        except BaseException:
            self._stack.close()
            raise
        self.layout: Mapping[str, Any] = {}  # where the messages lie, as the process tells when it is ready
        self._orders: socket.socket | None = None
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._open: dict[int, Answers] = {}
        self._over = False
        self._thread = threading.Thread(target=self._listen, args=(listener,), name="caller", daemon=True)
        self._thread.start()

    def _listener(self) -> tuple[socket.socket, str]:
        """A socket to which the process connects: an abstract one on Linux, else one in a folder with a short name."""
        listener = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        if sys.platform == "linux":
            address = f"@brownout-{custody.RUN}-{next(_NUMBERS)}"
            listener.bind("\0" + address[1:])
        else:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="brownout-", dir="/tmp"))
            address = f"{folder}/caller"
            listener.bind(address)
        listener.listen(1)
        return listener, address

    @property
    def ready(self) -> bool:
        """Whether it takes orders. Raises CallerEnded."""
        if self._over:
            raise self._ended()
        return self._ready.is_set()

    def ask(self, order: Mapping[str, Any]) -> Answers:
        """Give an order (see probes/caller.py). From several threads at once.

        When the process ends, the last answer is the event "ended". Raises CallerEnded, and TypeError for what is no
        JSON.
        """
        answers = Answers()
        with self._lock:
            number = next(self._numbers)
            line = json.dumps({"id": number, **order}).encode() + b"\n"
            if self._over or self._orders is None:
                raise self._ended()
            self._open[number] = answers
            try:
                self._orders.sendall(line)
            except OSError:  # closed by `stop`
                raise self._ended() from None
        return answers

    def send(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> str:
        """Send a task and wait for the outcome: empty, or the error. Raises as `ask`, and CallerEnded meanwhile."""
        (answer,) = self.ask({"task": task, "args": args, "kwargs": kwargs, "options": options})
        if answer["event"] == "ended":
            raise self._ended()
        return str(answer.get("error", ""))

    def stop(self) -> None:
        """End it, and everything that waits for it."""
        self.process.kill()
        self._thread.join()
        self._stack.close()

    def _listen(self, listener: socket.socket) -> None:
        try:
            if (orders := self._accepted(listener)) is None:
                return
            with orders, orders.makefile("rb") as answers, suppress(ConnectionError):
                self._orders = orders
                for line in answers:
                    self._hear(json.loads(line))
        finally:
            with self._lock:
                self._over = True
                left, self._open = list(self._open.values()), {}
            for answers_of in left:
                answers_of.put({"event": "ended", "at": now(), "last": True})

    def _accepted(self, listener: socket.socket) -> socket.socket | None:
        """The process's connection; None when the process ends without one."""
        listener.settimeout(LOOK)
        while not self.process.handle.ended(0):
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                connection.settimeout(None)
                return connection
        return None

    def _hear(self, told: dict[str, Any]) -> None:
        if told["event"] == "ready":
            self.layout = told["layout"]
            self._ready.set()
            return
        with self._lock:
            answers = self._open.pop(told["id"]) if told.get("last") else self._open[told["id"]]
        answers.put(told)

    def _ended(self) -> CallerEnded:
        return CallerEnded(f"the process that calls for the clients has ended\n{self.process.tail()}")
