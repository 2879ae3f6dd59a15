"""Who may do what: each request has an owner, whom its API key names."""

import hmac
import math
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, HTTPException
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from system.job import LOCAL
from system.schemas import Problem
from system.services import Services, Shared

POLICY_VIOLATION = 1008  # the WebSocket close code for a client that may not do this
PROBES = {"/health-check", "/health-check/ready"}  # who probes whether the API lives has no key
OWNER = "system.owner"  # where the owner is in an ASGI scope
UNAUTHORIZED = JSONResponse({"detail": "no valid API key"}, 401, {"WWW-Authenticate": "Bearer"})


class KeysOnly:
    """ASGI middleware that finds the owner of each request by its API key, and answers 401 to who has none, whatever
    the path is, and before anything of the body is read. Only the paths in `PROBES` want no key."""

    def __init__(self, app: ASGIApp, keys: Mapping[str, SecretStr]) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with its owner, or refuse it."""
        if scope["type"] != "lifespan" and scope["path"] not in PROBES:
            scope[OWNER] = self._owner(Headers(scope=scope).get("Authorization", ""))
            if scope[OWNER] is None:
                # A WebSocket is not accepted yet, so the server answers 403.
                closed = WebSocketClose(POLICY_VIOLATION, "no valid API key")
                return await (UNAUTHORIZED if scope["type"] == "http" else closed)(scope, receive, send)
        return await self._app(scope, receive, send)

    def _owner(self, authorization: str) -> str | None:
        scheme, _, token = authorization.partition(" ")
        owner = None
        for name, key in self._keys.items():  # all of them, each in constant time: the time tells nothing about a key
            if hmac.compare_digest(token.encode(), key.get_secret_value().encode()):
                owner = name
        return owner if scheme.lower() == "bearer" else None


def owner_of(connection: HTTPConnection, services: Services) -> str:
    """The owner's name. Without configured keys there is one owner."""
    return str(connection.scope[OWNER]) if services.settings.api_keys else LOCAL


def submitter_of(connection: HTTPConnection, services: Services) -> str:
    """The owner of a submission. Raises `HTTPException` 429 when the owner submits too often."""
    owner = owner_of(connection, services)
    wait = services.rates.take(owner)
    if wait:
        raise HTTPException(429, "too many submissions", headers={"Retry-After": str(math.ceil(wait))})
    return owner


class Bearer(SecurityBase):
    """Says in the OpenAPI document that a route wants a key."""

    def __init__(self) -> None:
        self.model = HTTPBearer()
        self.scheme_name = "ApiKey"

    async def __call__(self) -> None:
        """Nothing: `KeysOnly` looks at the key."""


# FastAPI takes a twentieth of a millisecond for each dependency of a dependency, so these have none but the services.


async def owner(connection: HTTPConnection, services: Shared) -> str:
    """The FastAPI dependency that returns the owner's name."""
    return owner_of(connection, services)


async def submitter(connection: HTTPConnection, services: Shared) -> str:
    """The FastAPI dependency that returns the name of an owner who may submit now."""
    return submitter_of(connection, services)


Owner = Annotated[str, Depends(owner)]
Submitter = Annotated[str, Depends(submitter)]
REFUSED: dict[int | str, dict[str, Any]] = {
    401: {
        "model": Problem,
        "description": "The request has no valid API key",
        "headers": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    }
}
