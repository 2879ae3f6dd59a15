"""The Docker Engine API over its socket, with the standard library: bounded questions that cost milliseconds."""

import hashlib
import http.client
import json
import os
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

ANSWER_WITHIN = 2.0  # seconds for any question but a pull
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class DockerError(ConnectionError):
    """The daemon cannot be reached, is not on this machine, or refused."""


def endpoint() -> str:
    """Where the daemon is: DOCKER_HOST, else the current docker context's, else the usual socket."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config = json.loads((folder / "config.json").read_text())
        name = os.environ.get("DOCKER_CONTEXT") or config.get("currentContext", "default")
        digest = hashlib.sha256(name.encode()).hexdigest()
        meta = json.loads((folder / "contexts" / "meta" / digest / "meta.json").read_text())
        return str(meta["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, AttributeError):
        return "unix:///var/run/docker.sock"


class _Connection(http.client.HTTPConnection):
    def __init__(self, address: str, timeout: float) -> None:
        self._url = urlsplit(address)
        if self._url.scheme != "unix" and (self._url.scheme != "tcp" or self._url.hostname not in LOOPBACK):
            # A port published there on 127.0.0.1 cannot be reached from here, and nothing is published wider.
            raise DockerError(f"the Docker daemon {address} is not on this machine")
        super().__init__(self._url.hostname or "localhost", self._url.port or 2375, timeout=timeout)

    def connect(self) -> None:
        if self._url.scheme != "unix":
            return super().connect()
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._url.path)
        return None


def call(method: str, path: str, *, within: float = ANSWER_WITHIN, **query: str) -> Any:
    """Ask the daemon; returns the decoded JSON answer, a list of them for a stream. Raises DockerError.

    The path has no API version, which means the daemon's own.
    """
    deadline, body = time.monotonic() + within, b""
    connection = _Connection(endpoint(), within)
    try:
        connection.request(method, f"{path}?{urlencode(query)}")
        answer = connection.getresponse()
        while chunk := answer.read1(65_536):
            body += chunk
            if time.monotonic() > deadline:
                raise TimeoutError(f"no complete answer within {within:g} s")
    except (OSError, http.client.HTTPException) as error:
        raise DockerError(f"no answer from the Docker daemon {endpoint()}: {error}") from None
    finally:
        connection.close()  # also what cancels a pull
    lines = [json.loads(line) for line in body.splitlines() if line.strip()]
    if answer.status >= 400:
        raise DockerError(f"Docker answers {answer.status}: {lines[0].get('message') if lines else ''}")
    return lines[0] if len(lines) == 1 else lines


def image(name: str) -> dict[str, Any] | None:
    """Describe an image that is here; None when it is not. Raises DockerError."""
    try:
        return dict(call("GET", f"/images/{quote(name)}/json"))
    except DockerError as error:
        if "answers 404" in str(error):
            return None
        raise


def pull(name: str, *, within: float) -> None:
    """Pull an image within so many seconds. Raises DockerError."""
    tagged = "@" in name or ":" in name.rpartition("/")[2]
    # Without any tag the daemon would pull all of them.
    report = call("POST", "/images/create", within=within, fromImage=name, **({} if tagged else {"tag": "latest"}))
    for line in report if isinstance(report, list) else [report]:
        if "error" in line:
            raise DockerError(str(line["error"]))


def remove_labelled(label: str) -> int:
    """Remove every container, running or not, that bears `label` ("key=value"); returns how many there were."""
    found = call("GET", "/containers/json", all="1", filters=json.dumps({"label": [label]}))
    for each in found:
        call("DELETE", f"/containers/{each['Id']}", within=15.0, force="1", v="1")
    return len(found)
