"""A client of the Docker Engine API on the standard library; every call has a deadline."""

import hashlib
import http.client
import json
import os
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

ANSWER_WITHIN = 2.0  # the deadline (s) of every call except a pull
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class DockerError(ConnectionError):
    """The Docker daemon cannot be reached, is not on this machine, or answered with an error."""


def endpoint() -> str:
    """Return the address of the Docker daemon: from DOCKER_HOST, else from the current docker context, else the default
    socket."""
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
            # Containers publish ports on 127.0.0.1 of the daemon's machine only, which other machines cannot reach.
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
    """Send a request to the Docker daemon; return the decoded JSON answer, or a list when the answer has several lines
    of JSON.

    `path` has no API version, so the daemon uses its newest. Raises DockerError, also when there is no answer after
    `within` seconds.
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
        connection.close()  # closing the connection also cancels a pull that is still running
    lines = [json.loads(line) for line in body.splitlines() if line.strip()]
    if answer.status >= 400:
        raise DockerError(f"Docker answers {answer.status}: {lines[0].get('message') if lines else ''}")
    return lines[0] if len(lines) == 1 else lines


def image(name: str) -> dict[str, Any] | None:
    """Return the description of a local image, or None when the image is not on this machine. Raises DockerError when
    Docker does not answer."""
    try:
        return dict(call("GET", f"/images/{quote(name)}/json"))
    except DockerError as error:
        if "answers 404" in str(error):
            return None
        raise


def pull(name: str, *, within: float) -> None:
    """Pull an image from its registry. Raises DockerError, also when the pull takes more than `within` seconds."""
    tagged = "@" in name or ":" in name.rpartition("/")[2]
    # Without a tag the daemon would pull all tags of the image.
    report = call("POST", "/images/create", within=within, fromImage=name, **({} if tagged else {"tag": "latest"}))
    for line in report if isinstance(report, list) else [report]:
        if "error" in line:
            raise DockerError(str(line["error"]))


def remove_labelled(label: str) -> int:
    """Remove every container, running or not, with the label `label` ("key=value"); returns their number."""
    containers = call("GET", "/containers/json", all="1", filters=json.dumps({"label": [label]}))
    for container in containers:
        call("DELETE", f"/containers/{container['Id']}", within=15.0, force="1", v="1")
    return len(containers)
