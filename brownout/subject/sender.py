"""A process of the application that sends tasks for the clients, as the harness sees it."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Any

from brownout.subject import custody
from brownout.subject.launcher import Launcher
from brownout.subject.part import Part

LOOK = 0.2  # s between two looks at whether the process has ended before it connected
_NUMBERS = count(1)


class SenderEnded(RuntimeError):
    """The process is gone: nobody can send any more."""


class Sender:
    """Launched at once; `ready` when the application is imported. No fault is aimed at it.

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
        self._orders: socket.socket | None = None
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._open: dict[int, Future[str]] = {}
        self._over = False
        self._thread = threading.Thread(target=self._listen, args=(listener,), name="sender", daemon=True)
        self._thread.start()

    def _listener(self) -> tuple[socket.socket, str]:
        """A socket to which the process connects: an abstract one on Linux, else one in a folder with a short name."""
        listener = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        if sys.platform == "linux":
            address = f"@brownout-{custody.RUN}-{next(_NUMBERS)}"
            listener.bind("\0" + address[1:])
        else:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="brownout-", dir="/tmp"))
            address = f"{folder}/sender"
            listener.bind(address)
        listener.listen(1)
        return listener, address

    @property
    def ready(self) -> bool:
        """Whether it takes orders. Raises SenderEnded."""
        if self._over:
            raise self._ended()
        return self._ready.is_set()

    def send(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> str:
        """Send a task and wait for the outcome; empty, or the error. From several threads at once.

        Raises SenderEnded, and TypeError for what is no JSON.
        """
        answer: Future[str] = Future()
        with self._lock:
            number = next(self._numbers)
            order = {"id": number, "task": task, "args": args, "kwargs": kwargs, "options": options}
            line = json.dumps(order).encode() + b"\n"
            if self._over or self._orders is None:
                raise self._ended()
            self._open[number] = answer
            try:
                self._orders.sendall(line)
            except OSError:  # closed by `stop`
                raise self._ended() from None
        return answer.result()

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
            for answer in left:
                answer.set_exception(self._ended())

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
        if "ready" in told:
            self._ready.set()
            return
        with self._lock:
            answer = self._open.pop(told["id"])
        answer.set_result(told.get("error", ""))

    def _ended(self) -> SenderEnded:
        return SenderEnded(f"the process that sends for the clients has ended\n{self.process.tail()}")
