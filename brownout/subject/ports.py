"""Free TCP ports of 127.0.0.1."""

import random
import socket

HOST = "127.0.0.1"
# Below the range from which Linux takes the local ports of outgoing connections (32768 up, ip(7)). A port in that range
# may be taken by any client while its server is down; a client that calls it may even connect to itself.
_PORTS = range(20_000, 32_000)
_given: set[int] = set()


def free_port() -> int:
    """Give a port on which nobody listens, never the same one twice in this process; raises OSError when none is free.

    Another process may still take it before its user binds it, so whoever uses it must be ready to ask again.
    """
    for port in random.sample(_PORTS, k=200):
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise OSError("no free port between 20000 and 32000 of 127.0.0.1")
