"""Finds free TCP ports of 127.0.0.1."""

import os
import random
import socket
from collections import deque
from contextlib import suppress

import psutil

from brownout.subject.processes.table import family

HOST = "127.0.0.1"
# Linux takes the local ports of outgoing connections from 32768 up (ip(7)). A server's port is therefore below 32768:
# otherwise a client could get the server's port while the server is down, or even connect to itself.
_PORTS = range(20_000, 32_000)
_given: set[int] = set()
# A server binds its port some time after `free_port` has chosen it, and binds it again after a restart. Until a server
# uses the port, a UDP socket with the same port number tells other processes of brownout, such as xdist's workers, that
# the port is taken. The kernel closes these UDP sockets when this process ends. Only the newest KEPT of these UDP
# sockets stay open, to save file descriptors.
_owned: deque[int] = deque()  # File descriptors.
KEPT = 128


def free_port() -> int:
    """Return a port of 127.0.0.1 on which no process listens, and which this function has not returned before.

    Another program may still take the port before the caller binds it; the caller must then ask for another port.
    Raises OSError when no free port is found.
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
    """Whether a process or one of its descendants listens on a TCP port."""
    for member in family(pid):
        with suppress(psutil.NoSuchProcess):
            sockets = psutil.Process(member).net_connections("tcp")
            if any(sock.status == psutil.CONN_LISTEN and sock.laddr.port == port for sock in sockets):
                return True
    return False
