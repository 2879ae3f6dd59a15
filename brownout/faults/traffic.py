"""Finds out what a network fault did to the subject's connections.

The built-in network proxy itself counts the connections and bytes on which each network fault acts. A Toxiproxy server
reports nothing, so the kernel is asked (sock_diag(7), Linux) which connections lead to an edge's port and how many
bytes each connection carried. The kernel's answer proves only that bytes of the subject entered the edge while the
fault was on, or that connections of the subject ended.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence

from brownout.wire.interface import AnyEdge
from brownout.wire.tcp.armed import Acted
from brownout.wire.tcp.edge import Edge

# Flags (NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH) and types of netlink messages
_DUMP, _DONE, _ERROR, _BY_FAMILY = 0x301, 3, 2, 20
_SOCK_DIAG, _INFO, _ESTABLISHED = 4, 2, 1
# Sizes of the C structures nlmsghdr and inet_diag_msg, and the offset of tcpi_bytes_acked in tcp_info
_HEADER, _ANSWER, _BYTES = 16, 72, 120


def carried(port: int) -> dict[int, int]:
    """Return the established connections to a local port: maps the kernel's number of a connection to its bytes in both
    directions.

    Raises OSError when the kernel cannot tell, as on systems other than Linux.
    """
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError("this system has no sock_diag, which must show what a fault of Toxiproxy did")
    # the C structure inet_diag_sockid: source port, destination port, addresses, any cookie
    wanted = struct.pack("!HH", 0, port) + bytes(36) + b"\xff" * 8
    body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 1 << (_INFO - 1), 0, 1 << _ESTABLISHED) + wanted
    carried_bytes: dict[int, int] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as netlink:
        netlink.send(struct.pack("=IHHII", _HEADER + len(body), _BY_FAMILY, _DUMP, 1, 0) + body)
        while True:
            answer, at = netlink.recv(1 << 16), 0
            while at < len(answer):
                size, kind = struct.unpack_from("=IH", answer, at)
                if kind == _DONE:
                    return carried_bytes
                if kind == _ERROR:
                    raise OSError(-struct.unpack_from("=i", answer, at + _HEADER)[0], "sock_diag refused")
                _read(answer[at + _HEADER : at + size], carried_bytes)
                at += (size + 3) & ~3


def _read(message: bytes, carried_bytes: dict[int, int]) -> None:
    (cookie,) = struct.unpack_from("=Q", message, 44)
    at = _ANSWER
    while at < len(message):
        size, kind = struct.unpack_from("=HH", message, at)
        if kind == _INFO:
            carried_bytes[cookie] = sum(struct.unpack_from("=QQ", message, at + 4 + _BYTES))
        at += (size + 3) & ~3


def has_connections(edge: AnyEdge) -> bool:
    """Whether connections of the subject lead to the network edge; the result is False when the kernel cannot tell."""
    try:
        return bool(carried(edge.port))
    except OSError:
        return False


def watch(edges: Sequence[AnyEdge], names: Sequence[str], *, ends: bool) -> Callable[[], str]:
    """Count the connections and bytes of the network edges from now on. The returned function returns a text that says
    what the toxics (network faults) with these names did, or "" if they did nothing.

    For a Toxiproxy server, connections that ended (if `ends` is true) or bytes that entered the edge's port (if it is
    false) show that the fault had an effect.
    """
    looks = [(edge.name, _counted(edge, names) if isinstance(edge, Edge) else _seen(edge, ends)) for edge in edges]
    return lambda: "; ".join(f"{name}: {evidence}" for name, look in looks if (evidence := look()))


def _counted(edge: Edge, names: Sequence[str]) -> Callable[[], str]:
    def total() -> Acted:
        counters = [edge.counters.acted(name) for name in names]
        return Acted(*(sum(getattr(counter, part) for counter in counters) for part in Acted.__slots__))

    before = total()

    def look() -> str:
        now = total()
        more = {part: getattr(now, part) - getattr(before, part) for part in Acted.__slots__}
        texts = ("{} connections", "{} bytes shaped", "{} bytes dropped", "{} closed")
        return ", ".join(text.format(n) for text, n in zip(texts, more.values(), strict=True) if n)

    return look


def _seen(edge: AnyEdge, ends: bool) -> Callable[[], str]:
    try:
        before = carried(edge.port)
    except OSError:
        return lambda: ""  # when no effect of the fault was seen, the verdict is unknown

    def look() -> str:
        now = carried(edge.port)
        if ends:
            ended = len(before.keys() - now.keys())
            return f"{ended} connections ended" if ended else ""
        # The kernel counts the SYN of a new connection as one byte.
        moved = [more for cookie, n in now.items() if (more := n - before.get(cookie, 1)) > 0]
        return f"{sum(moved)} bytes of {len(moved)} connections entered" if moved else ""

    return look
