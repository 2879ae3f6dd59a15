"""What a network fault did to the subject's connections, as seen from outside of them.

The built-in wire counts what each toxic does. A Toxiproxy server tells nothing, so there the kernel is asked
(sock_diag(7), Linux): which connections lead to an edge's port and how many bytes they have carried. That proves that
the subject's bytes entered the edge while the fault was on, or that its connections ended, and no more.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence

from brownout.wire.interface import AnyEdge
from brownout.wire.tcp.armed import Acted
from brownout.wire.tcp.edge import Edge

_DUMP, _DONE, _ERROR, _FOUND = 0x301, 3, 2, 20  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH; message types
_SOCK_DIAG, _INFO, _ESTABLISHED = 4, 2, 1
_HEADER, _ANSWER, _BYTES = 16, 72, 120  # nlmsghdr, inet_diag_msg, tcpi_bytes_acked's place in tcp_info


def carried(port: int) -> dict[int, int]:
    """The established connections to a local port: a number for each, and the bytes that went both ways.

    Raises OSError where the kernel cannot tell (another system than Linux).
    """
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError("no sock_diag here: what met a fault of Toxiproxy cannot be known")
    wanted = struct.pack("!HH", 0, port) + bytes(36) + b"\xff" * 8  # source, destination, addresses, any cookie
    body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 1 << (_INFO - 1), 0, 1 << _ESTABLISHED) + wanted
    found: dict[int, int] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as ask:
        ask.send(struct.pack("=IHHII", _HEADER + len(body), _FOUND, _DUMP, 1, 0) + body)
        while True:
            answer, at = ask.recv(1 << 16), 0
            while at < len(answer):
                size, kind = struct.unpack_from("=IH", answer, at)
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    raise OSError(-struct.unpack_from("=i", answer, at + _HEADER)[0], "sock_diag refused")
                _read(answer[at + _HEADER : at + size], found)
                at += (size + 3) & ~3


def _read(message: bytes, found: dict[int, int]) -> None:
    (cookie,) = struct.unpack_from("=Q", message, 44)
    at = _ANSWER
    while at < len(message):
        size, kind = struct.unpack_from("=HH", message, at)
        if kind == _INFO:
            found[cookie] = sum(struct.unpack_from("=QQ", message, at + 4 + _BYTES))
        at += (size + 3) & ~3


def lives(edge: AnyEdge) -> bool:
    """Whether connections of the subject lead to the edge, as far as the kernel tells."""
    try:
        return bool(carried(edge.port))
    except OSError:
        return False


def watch(edges: Sequence[AnyEdge], names: Sequence[str], *, ends: bool) -> Callable[[], str]:
    """Say from now on what the toxics of these names did on the edges, and nothing while they did nothing.

    `ends`: the fault shows in connections that end, else in bytes that enter.
    """
    looks = [(edge.name, _counted(edge, names) if isinstance(edge, Edge) else _seen(edge, ends)) for edge in edges]
    return lambda: "; ".join(f"{name}: {said}" for name, look in looks if (said := look()))


def _counted(edge: Edge, names: Sequence[str]) -> Callable[[], str]:
    def total() -> Acted:
        all_of_them = [edge.counters.acted(name) for name in names]
        sums = (sum(getattr(one, part) for one in all_of_them) for part in Acted.__slots__)
        return Acted(*sums)

    before = total()

    def look() -> str:
        now = total()
        more = {part: getattr(now, part) - getattr(before, part) for part in Acted.__slots__}
        said = ("{} connections", "{} bytes shaped", "{} bytes dropped", "{} closed")
        return ", ".join(text.format(n) for text, n in zip(said, more.values(), strict=True) if n)

    return look


def _seen(edge: AnyEdge, ends: bool) -> Callable[[], str]:
    try:
        before = carried(edge.port)
    except OSError:
        return lambda: ""  # nobody can tell here: without evidence the verdict is unknown

    def look() -> str:
        now = carried(edge.port)
        if ends:
            gone = len(before.keys() - now.keys())
            return f"{gone} connections ended" if gone else ""
        # A new connection has one "byte" for its SYN.
        moved = [more for one, n in now.items() if (more := n - before.get(one, 1)) > 0]
        return f"{sum(moved)} bytes of {len(moved)} connections entered" if moved else ""

    return look
