"""Addresses as Toxiproxy writes them."""

from __future__ import annotations

from brownout.wire.errors import BadRequest


def edge_name(text: str) -> str:
    """A name that can stand in the path of Toxiproxy's API. Raises BadRequest."""
    if not text or "/" in text:
        raise BadRequest(f"an edge's name is not empty and has no slash: {text!r}")
    return text


def address(text: str) -> tuple[str, int]:
    """`host:port`, taken apart. Raises BadRequest."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise BadRequest(f"an address is host:port, not {text!r}")
    return host.strip("[]"), int(port)
