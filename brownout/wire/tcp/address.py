"""Addresses as Toxiproxy writes them."""

from __future__ import annotations

import re
import socket
from ipaddress import IPv6Address, ip_address

from brownout.wire.errors import BadRequest, WireError

DIGITS = re.compile("[0-9]{1,5}")
PORT = re.compile("([+-]?)([0-9]*)")


def edge_name(text: str) -> str:
    """A name that can stand in the path of Toxiproxy's API. Raises BadRequest."""
    if not text or "/" in text:
        raise BadRequest(f"an edge's name is not empty and has no slash: {text!r}")
    return text


def address(text: str) -> tuple[str, int]:
    """`host:port`, taken apart. Raises BadRequest."""
    host, colon, port = text.rpartition(":")
    if not colon or not DIGITS.fullmatch(port) or int(port) > 65535:
        raise BadRequest(f"an address is host:port, not {text!r}")
    return host.strip("[]"), int(port)


def joined(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def resolved(listen: str) -> tuple[str, int]:
    """Host and port of an address to listen at, as Go resolves it (net.ResolveTCPAddr); "" is every address.

    Of names only `localhost` is known. Raises WireError in Go's words.
    """
    if not listen:
        return "", 0
    host, port = _split(listen)
    number = _port(port)
    if host.lower() == "localhost":
        host = "127.0.0.1"
    elif host:
        try:
            found = ip_address(host)
        except ValueError:
            raise WireError(f"lookup {host}: no such host") from None
        if isinstance(found, IPv6Address) and found.ipv4_mapped:
            found = found.ipv4_mapped
        host = str(found)
    return host, number


def _split(text: str) -> tuple[str, str]:
    """As net.SplitHostPort."""
    host, colon, port = text.rpartition(":")
    wrong = ""
    if text.startswith("[") and colon:
        inside, closed, rest = host[1:].partition("]")
        if not closed:
            wrong = "missing port in address" if "]" in port else "missing ']' in address"
        elif rest:
            wrong = "too many colons in address" if rest.startswith(":") else "missing port in address"
        host = inside
    elif not colon:
        wrong = "missing port in address"
    elif ":" in host:
        wrong = "too many colons in address"
    for bracket in "[]":
        if not wrong and bracket in host + port:
            wrong = f"unexpected '{bracket}' in address"
    if wrong:
        raise WireError(f"address {text}: {wrong}")
    return host, port


def _port(text: str) -> int:
    """A number, or the name of a service."""
    match = PORT.fullmatch(text)
    try:
        number = int(match[1] + (match[2] or "0")) if match else socket.getservbyname(text, "tcp")
    except (OSError, ValueError):
        raise WireError(f"lookup tcp/{text}: unknown port") from None
    if not 0 <= number <= 65535:
        raise WireError(f"address {text}: invalid port")
    return number
