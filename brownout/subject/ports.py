"""Free TCP ports of 127.0.0.1."""

import os
import random
import socket
from collections import deque
from contextlib import suppress

import psutil

from brownout.subject.table import family

HOST = "127.0.0.1"
# Below the range from which Linux takes the local ports of outgoing connections (32768 up, ip(7)). A port in that range
# may be taken by any client while its server is down; a client that calls it may even connect to itself.
_PORTS = range(20_000, 32_000)
_given: set[int] = set()
# A server binds its port some time after it was given it, and again after a restart. Until then a UDP socket of the
# same number tells the other processes of this project, such as those of pytest-xdist, that the port has an owner.
# The kernel closes it when its process ends. Only the latest are kept: each holds a file descriptor.
_owned: deque[int] = deque()  # file descriptors
KEPT = 128


def free_port() -> int:
    """Give a port on which nobody listens, and that this function has given to nobody else; raises OSError if none is.

    A stranger may still take it before its user binds it, so whoever uses it must be ready to ask again.
    """
    for port in random.sample(_PORTS, k=200):
        if port in _given:
            continue
        owner = socket.socket(type=socket.SOCK_DGRAM)
        try:
            owner.bind((HOST, port))
            with socket.socket() as probe:
                probe.bind((HOST, port))
        except OSError:
            owner.close()
            continue
        _given.add(port)
        _owned.append(owner.detach())
        if len(_owned) > KEPT:
            os.close(_owned.popleft())
        return port
    raise OSError("no free port between 20000 and 32000 of 127.0.0.1")


def listens(pid: int, port: int) -> bool:
    """Whether a process, or one that it has started, listens on a TCP port."""
    for each in family(pid):
        with suppress(psutil.NoSuchProcess):
            connections = psutil.Process(each).net_connections("tcp")
            if any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections):
                return True
    return False
