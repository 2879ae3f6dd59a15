"""Errors of wires: the network proxies between the parts of a subject. `status` is the HTTP status with which
Toxiproxy's API reports the error."""

from __future__ import annotations


class WireError(Exception):
    """A network proxy (a wire) could not do what the caller asked for."""

    status = 500


class BadRequest(WireError, ValueError):
    """An argument is wrong: an unknown network fault, attribute or stream, or a malformed address."""

    status = 400


class NotFound(WireError, LookupError):
    """There is no network edge, or no toxic (network fault), with this name."""

    status = 404


class AlreadyExists(WireError):
    """The name is already taken by another network edge, or by a network fault of another type."""

    status = 409


class Unreachable(WireError):
    """The network proxy did not answer within its deadline, or no server listens at its address."""

    status = 504


def by_status(status: int, text: str) -> WireError:
    """Return the error for an HTTP `status`: a WireError, unless a subclass has that status."""
    return {kind.status: kind for kind in (BadRequest, NotFound, AlreadyExists)}.get(status, WireError)(text)
