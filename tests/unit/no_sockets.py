"""The unit layer's rule that no test reaches a network, as a fixture that `conftest.py` makes automatic."""

import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

EVENTS = {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"}
FAMILIES = {socket.AF_INET, socket.AF_INET6}


class SocketUsed(OSError):
    """A unit test reached for the network."""


class Guard:
    """Refuses what would reach a network, and remembers it: code that swallows the error fails its test all the same.

    An audit hook sees every socket of every thread, whoever patches the `socket` module meanwhile. It can't be
    removed, so there is one for the process and it does nothing while no test of this layer runs.
    """

    def __init__(self) -> None:
        self.active = False
        self.attempts: list[str] = []

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """The audit hook. Raises `SocketUsed`."""
        if event in EVENTS and self.active and args[0].family in FAMILIES:
            attempt = f"{event} {args[1]} in {threading.current_thread().name}"
            self.attempts.append(attempt)
            raise SocketUsed(attempt)

    def check(self) -> None:
        """Fail the test if there was an attempt, and forget it."""
        attempts, self.attempts = self.attempts, []
        if attempts:
            pytest.fail("a unit test used a socket: " + "; ".join(attempts))


GUARD = Guard()
sys.addaudithook(GUARD)


@pytest.fixture(autouse=True)
def no_sockets() -> Iterator[Guard]:
    """No AF_INET or AF_INET6 socket may connect, bind or send. Pairs (asyncio's self-pipe) and AF_UNIX may."""
    GUARD.active = True
    yield GUARD
    GUARD.active = False
    GUARD.check()
