"""Parses and checks addresses as Toxiproxy does."""

from __future__ import annotations

import re
import socket
from ipaddress import IPv6Address, ip_address

from brownout.wire.errors import BadRequest, WireError

DIGITS = re.compile("[0-9]{1,5}")
PORT = re.compile("([+-]?)([0-9]*)")


def edge_name(text: str) -> str:
    """Return a name if it can be part of a path of Toxiproxy's API; else raise BadRequest."""
    if not text or "/" in text:
        raise BadRequest(f"an edge's name must not be empty and must not contain a slash: {text!r}")
    return text


def address(text: str) -> tuple[str, int]:
    """Split `host:port` into host and port. Raises BadRequest for a malformed address."""
    host, colon, port = text.rpartition(":")
    if not colon or not DIGITS.fullmatch(port) or int(port) > 65535:
        raise BadRequest(f"an address is written host:port, not {text!r}")
    return host.strip("[]"), int(port)


def joined(host: str, port: int) -> str:
    """Join host and port to `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def resolved(listen: str) -> tuple[str, int]:
    """Return host and port to listen at, as Go resolves them (net.ResolveTCPAddr). An empty host means every address of
    this machine.

    The only host name that is resolved is `localhost`. Raises WireError with the error texts of Go's net package.
    """
    if not listen:
        return "", 0
    host, port = _split(listen)
    number = _port(port)
    if host.lower() == "localhost":
        host = "127.0.0.1"
    elif host:
        try:
            ip = ip_address(host)
        except ValueError:
            raise WireError(f"lookup {host}: no such host") from None
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        host = str(ip)
    return host, number


def _split(text: str) -> tuple[str, str]:
    """Split host and port as Go's net.SplitHostPort does."""
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
    """Return the port number for a number or the name of a service."""
    match = PORT.fullmatch(text)
    try:
        number = int(match[1] + (match[2] or "0")) if match else socket.getservbyname(text, "tcp")
    except (OSError, ValueError):
        raise WireError(f"lookup tcp/{text}: unknown port") from None
    if not 0 <= number <= 65535:
        raise WireError(f"address {text}: invalid port")
    return number
