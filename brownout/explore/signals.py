"""What SIGINT and SIGTERM do to a command: they end it after it has cleaned up and kept what it has found."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn


class Terminated(BaseException):
    """SIGTERM came."""


@contextmanager
def terminable() -> Iterator[None]:
    """Within the block SIGTERM raises Terminated, so that everything is cleaned up; if SIGTERM was ignored, it stays
    ignored."""
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or before == signal.SIG_IGN:
        yield
        return

    def terminate(*_: object) -> NoReturn:
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def heeding(stop: Callable[[int], None]) -> Iterator[None]:
    """Within the block SIGINT and SIGTERM call `stop`, when their default action would end this thread; a signal that
    was ignored stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, lambda caught, _: stop(caught))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
