"""Controls the caller, which is a process that imports the application and sends tasks for the clients."""

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
from brownout.subject.part import Part
from brownout.subject.processes import custody
from brownout.subject.processes.launcher import Launcher

LOOK = 0.2  # seconds between two checks whether the process ended before it connected
_NUMBERS = count(1)


class CallerEnded(RuntimeError):
    """The caller process has ended, so clients can send no more tasks."""


class Answers:
    """Iterates over the answers to one order as they come; the answer that has "last" is the last one."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Mapping[str, Any]] = SimpleQueue()

    def put(self, answer: Mapping[str, Any]) -> None:
        """Add an answer that the process has given to this order."""
        self._queue.put(answer)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        while True:
            answer = self._queue.get()
            yield answer
            if answer.get("last"):
                return


class Caller:
    """Starts the caller process immediately. `ready` becomes true when the process has imported the application.

    The function `part` makes the command line of the process from the address of brownout's socket. Raises OSError when
    the start fails.
    """

    def __init__(self, launcher: Launcher, part: Callable[[str], Part], log: Path) -> None:
        self._stack = ExitStack()
        try:
            listener, address = self._listener()
            self.process = launcher.launch(part(address), log)
        except BaseException:
            self._stack.close()
            raise
        # the application's queues and keys in Redis; the process reports them when it is ready
        self.layout: Mapping[str, Any] = {}
        self._orders: socket.socket | None = None
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._open: dict[int, Answers] = {}
        self._over = False
        self._thread = threading.Thread(target=self._listen, args=(listener,), name="caller", daemon=True)
        self._thread.start()

    def _listener(self) -> tuple[socket.socket, str]:
        """The socket to which the process connects: abstract on Linux, else in a folder with a short path."""
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
        """Whether the caller process can take orders now. Raises CallerEnded when the process has ended."""
        if self._over:
            raise self._ended()
        return self._ready.is_set()

    def ask(self, order: Mapping[str, Any]) -> Answers:
        """Send an order to the process (see probes/caller.py); several threads may do so at the same time.

        When the process ends before it has given the last answer, the last answer has the event "ended". Raises
        CallerEnded when the process has already ended, and TypeError when the order cannot be written as JSON.
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
            except OSError:  # this error is expected when the method `stop` has closed the socket
                raise self._ended() from None
        return answers

    def send(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> str:
        """Send a task to the broker. Returns the error as text, or "" when the task was sent.

        Raises the exceptions of `ask`, and CallerEnded when the process ends before it answers.
        """
        (answer,) = self.ask({"task": task, "args": args, "kwargs": kwargs, "options": options})
        if answer["event"] == "ended":
            raise self._ended()
        return str(answer.get("error", ""))

    def stop(self) -> None:
        """Kill the caller process. Threads that wait for an answer get an answer with the event "ended"."""
        self.process.kill()
        self._thread.join()
        self._stack.close()

    def _listen(self, listener: socket.socket) -> None:
        try:
            if (orders := self._connection(listener)) is None:
                return
            with orders, orders.makefile("rb") as answers, suppress(ConnectionError):
                self._orders = orders
                for line in answers:
                    self._handle(json.loads(line))
        finally:
            with self._lock:
                self._over = True
                unanswered, self._open = list(self._open.values()), {}
            for answers_of in unanswered:
                answers_of.put({"event": "ended", "at": now(), "last": True})

    def _connection(self, listener: socket.socket) -> socket.socket | None:
        """Wait for the process to connect; return the connection, or None when the process ends before it connects."""
        listener.settimeout(LOOK)
        while not self.process.handle.ended(0):
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                connection.settimeout(None)
                return connection
        return None

    def _handle(self, answer: dict[str, Any]) -> None:
        if answer["event"] == "ready":
            self.layout = answer["layout"]
            self._ready.set()
            return
        with self._lock:
            answers = self._open.pop(answer["id"]) if answer.get("last") else self._open[answer["id"]]
        answers.put(answer)

    def _ended(self) -> CallerEnded:
        return CallerEnded(f"the process that sends the clients' tasks has ended\n{self.process.tail()}")
