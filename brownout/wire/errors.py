"""Errors of wires, which are the networks between the parts of a subject. `status` is the HTTP status with which
Toxiproxy's API reports the error."""

from __future__ import annotations


class WireError(Exception):
    """A wire could not do what the caller asked for."""

    status = 500


class BadRequest(WireError, ValueError):
    """An argument is wrong: an unknown toxic, attribute or stream, or a malformed address."""

    status = 400


class NotFound(WireError, LookupError):
    """No edge or no toxic has the name."""

    status = 404


class AlreadyExists(WireError):
    """An edge or a toxic of another type has the name already."""

    status = 409


class Unreachable(WireError):
    """The wire did not answer within its deadline, or no server listens at its address."""

    status = 504


def by_status(status: int, text: str) -> WireError:
    """Return the error for an HTTP `status`: a WireError, unless a subclass has that status."""
    return {kind.status: kind for kind in (BadRequest, NotFound, AlreadyExists)}.get(status, WireError)(text)
