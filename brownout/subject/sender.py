"""A process of the application that sends tasks for the clients, as the harness sees it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from brownout.subject.process import Process


class SenderEnded(RuntimeError):
    """The process is gone: nobody can send any more."""


class Sender:
    """Launched at once; `ready` when the application is imported. No fault is aimed at it."""

    def __init__(self, argv: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path) -> None:
        self.process = Process.launch("client", argv, log=log, env=env, cwd=cwd, talks=True)
        self._orders, self._answers = self.process.pipes
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._open: dict[int, Future[str]] = {}
        self._over = False
        threading.Thread(target=self._listen, name="sender", daemon=True).start()

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
            if self._over:
                raise self._ended()
            self._open[number] = answer
            try:
                self._orders.write(line)
                self._orders.flush()
            except (OSError, ValueError):  # closed by `stop`
                raise self._ended() from None
        return answer.result()

    def stop(self) -> None:
        """End it, and everything that waits for it."""
        self.process.kill()
        with suppress(OSError):  # an order may be left in its buffer
            self._orders.close()

    def _listen(self) -> None:
        try:
            with self._answers:
                for line in self._answers:
                    self._hear(json.loads(line))
        finally:
            with self._lock:
                self._over = True
                left, self._open = list(self._open.values()), {}
            for answer in left:
                answer.set_exception(self._ended())

    def _hear(self, told: dict[str, Any]) -> None:
        if "ready" in told:
            self._ready.set()
            return
        with self._lock:
            answer = self._open.pop(told["id"])
        answer.set_result(told.get("error", ""))

    def _ended(self) -> SenderEnded:
        return SenderEnded(f"the process that sends for the clients has ended\n{self.process.tail()}")
