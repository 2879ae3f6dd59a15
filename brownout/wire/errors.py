"""What a wire refuses, and why. `status` is the HTTP status that Toxiproxy's API gives for it."""

from __future__ import annotations


class WireError(Exception):
    """A wire could not do what it was told."""

    status = 500


class BadRequest(WireError, ValueError):
    """What was asked for makes no sense: an unknown toxic, attribute or stream, or a malformed address."""

    status = 400


class NotFound(WireError, LookupError):
    """No edge, or no toxic, has that name."""

    status = 404


class AlreadyExists(WireError):
    """An edge, or another kind of toxic, has that name."""

    status = 409


class Unreachable(WireError):
    """The wire did not answer within its deadline, or nobody listens there."""

    status = 504


def by_status(status: int, text: str) -> WireError:
    """The error that stands for an HTTP `status`; the base class when none does."""
    return {kind.status: kind for kind in (BadRequest, NotFound, AlreadyExists)}.get(status, WireError)(text)
