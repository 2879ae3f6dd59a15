"""Who may do what: each request has an owner, whom its API key names."""

import hmac
from typing import Annotated

from fastapi import Depends, HTTPException, WebSocketException
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from system.job import LOCAL
from system.services import services_of

POLICY_VIOLATION = 1008  # the WebSocket close code for a client that may not do this


class Authentication(SecurityBase):
    """The FastAPI dependency that returns the owner's name. Without configured keys there is one owner."""

    def __init__(self) -> None:
        self.model = HTTPBearer()
        self.scheme_name = "API key"

    async def __call__(self, connection: HTTPConnection) -> str:
        """Raises `HTTPException` 401, or its like for a WebSocket."""
        keys = services_of(connection).settings.api_keys
        if not keys:
            return LOCAL
        scheme, _, token = connection.headers.get("Authorization", "").partition(" ")
        owner = None
        for name, key in keys.items():  # all of them, each in constant time: the time tells nothing about a key
            if hmac.compare_digest(token.encode(), key.get_secret_value().encode()):
                owner = name
        if owner is not None and scheme.lower() == "bearer":
            return owner
        if connection.scope["type"] == "websocket":
            raise WebSocketException(POLICY_VIOLATION, "no valid API key")
        raise HTTPException(401, "no valid API key", headers={"WWW-Authenticate": "Bearer"})


Owner = Annotated[str, Depends(Authentication())]
