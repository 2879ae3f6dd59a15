"""Toxiproxy as a wire: `toxiproxy-python` drives a `toxiproxy-server`, or the built-in wire's own HTTP API.

Of `toxiproxy-python` (0.1.1) only `APIConsumer`'s `get`, `post` and `delete` are used: they hand their arguments on to
`requests`, so every call has a deadline, which its objects' methods cannot be given. It keeps host and port on the
class; a subclass for each server keeps servers apart. Calls block: a coroutine makes them in a thread.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol, Self
from urllib.parse import quote

from brownout.wire.errors import AlreadyExists, BadRequest, NotFound, Unreachable, WireError, by_status
from brownout.wire.tcp.address import address, edge_name
from brownout.wire.tcp.toxics import Toxic, down, timeout

OnEvent = Callable[[str, dict[str, Any]], None]
DIRECT = {"http": None, "https": None}  # a proxy in the environment is not for the loopback


class Server(Protocol):
    """The process of a server."""

    @property
    def pid(self) -> int:
        """Its pid."""

    def stop(self) -> int:
        """End it."""


class Client:
    """One server's API; one call at a time. Raises our errors, never those of `requests`."""

    def __init__(self, host: str, port: int, deadline: float) -> None:
        from toxiproxy.api import APIConsumer  # an optional extra, imported on use

        self._consumer: Any = type("Consumer", (APIConsumer,), {"host": host, "port": port})
        self._deadline = deadline
        self._lock = threading.Lock()
        self.where = f"{host}:{port}"

    def call(self, verb: str, *path: str, body: Any = None) -> Any:
        """`get`, `post` or `delete`; the decoded answer, None where there is none."""
        from requests import RequestException
        from toxiproxy.exceptions import InvalidToxic, ProxyExists
        from toxiproxy.exceptions import NotFound as Missing

        url = "".join("/" + quote(part, safe="") for part in path)
        more = {"json": body} if verb == "post" else {}
        refused = {ProxyExists: AlreadyExists, Missing: NotFound, InvalidToxic: BadRequest}
        with self._lock:
            try:
                send = getattr(self._consumer, verb)
                response = send(url, timeout=self._deadline, proxies=DIRECT, **more)
            except RequestException as wrong:
                raise Unreachable(f"no answer from Toxiproxy at {self.where}: {wrong}") from wrong
            except tuple(refused) as wrong:
                raise refused[type(wrong)](reason(wrong.args[0])) from None
        if response.status_code >= 400:
            raise by_status(response.status_code, reason(response.content))
        return response.json() if response.content else None


def reason(content: bytes) -> str:
    """The text of an error answer."""
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace").strip()


class ToxiproxyEdge:
    """A proxy of the server, with the interface of the built-in wire's `Edge`."""

    def __init__(self, wire: ToxiproxyWire, name: str, shown: Mapping[str, Any]) -> None:
        self.name, self._wire = name, wire
        listen = address(shown["listen"])[1]
        self.port = wire.published.get(listen, listen)
        self.address = f"{wire.host}:{self.port}"

    @property
    def toxics(self) -> tuple[Toxic, ...]:
        """Those armed now, as the server says."""
        return tuple(Toxic.from_json(one) for one in self._call("get", "toxics"))

    @property
    def enabled(self) -> bool:
        """Does it listen?"""
        return bool(self._call("get")["enabled"])

    @property
    def upstream(self) -> str:
        """Where it leads."""
        return str(self._call("get")["upstream"])

    def add(self, toxic: Toxic) -> Toxic:
        """Arm it, or update the one of that name. Raises BadRequest for what only the built-in wire can do."""
        if "toxiproxy" not in toxic.wires:
            raise BadRequest(f"Toxiproxy has no {toxic.type}; only {', '.join(sorted(toxic.wires))} can do it")
        if toxic.type == "down":
            changed = self.enabled
            self._call("post", body={"enabled": False})
        else:
            old = next((one for one in self.toxics if one.name == toxic.name), None)
            changed = old != toxic
            if old is None:
                self._call("post", "toxics", body=toxic.to_json())
            elif (old.type, old.stream) != (toxic.type, toxic.stream):
                raise AlreadyExists("toxic already exists")
            elif changed:
                body = {"attributes": dict(toxic.attributes), "toxicity": toxic.toxicity}
                self._call("post", "toxics", toxic.name, body=body)
        if changed:
            data = {key: value for key, value in toxic.to_json().items() if key != "name"}
            self._wire.tell("toxic-added", {"edge": self.name, "toxic": toxic.name, **data})
        return toxic

    def remove(self, name: str) -> bool:
        """Heal; False if there was none of that name."""
        try:
            if name == "down":
                if self.enabled:
                    return False
                self._call("post", body={"enabled": True})
            else:
                self._call("delete", "toxics", name)
        except NotFound:
            return False
        self._wire.tell("toxic-removed", {"edge": self.name, "toxic": name})
        return True

    def heal(self) -> None:
        """Take everything off, and listen."""
        for name in ("down", *(toxic.name for toxic in self.toxics)):
            self.remove(name)

    def down(self) -> None:
        """Stop listening, close live connections."""
        self.add(down())

    def up(self) -> None:
        """Listen again."""
        self.remove("down")

    def cut(self) -> None:
        """Close live connections, and those that come within this call; none is refused.

        Toxiproxy closes a connection when a `timeout` is taken off it (timeout.go, Cleanup), soon after it answers.
        """
        toxic = timeout(stream="upstream", name="cut")
        self._call("post", "toxics", body=toxic.to_json())
        self._call("delete", "toxics", toxic.name)

    def redirect(self, upstream: str) -> None:
        """Lead elsewhere; unlike the built-in wire, Toxiproxy closes the live connections."""
        address(upstream)
        self._call("post", body={"upstream": upstream})

    def close(self) -> None:
        """Delete the proxy; idempotent."""
        with suppress(NotFound):
            self._call("delete")
        self._wire.edges.pop(self.name, None)

    def _call(self, verb: str, *path: str, body: Any = None) -> Any:
        return self._wire.client.call(verb, "proxies", self.name, *path, body=body)


class ToxiproxyWire:
    """A server that listens at `host:port`; `subject.toxiproxy_server.started` starts one.

    `deadline` (s) holds for every call. For a server in a container, `published` maps the container's ports to those
    of `host`; each edge takes one. Toxiproxy does not tell when a toxic acts: `on_event` hears toxic-added and
    toxic-removed alone, and evidence must come from elsewhere. `server` is the process of a server that ends with
    the wire.
    """

    kind = "toxiproxy"

    def __init__(
        self,
        host: str,
        port: int,
        *,
        deadline: float = 5.0,
        published: Mapping[int, int] | None = None,
        on_event: OnEvent | None = None,
        server: Server | None = None,
    ) -> None:
        self.host, self.published = host, dict(published or {})
        self.client = Client(host, port, deadline)
        self.edges: dict[str, ToxiproxyEdge] = {}
        self.tell = on_event or (lambda _kind, _data: None)
        self._free = sorted(self.published)
        self._server = server

    @property
    def pid(self) -> int | None:
        """The pid of `server`."""
        return self._server.pid if self._server else None

    def version(self) -> str:
        """The server's word for itself; `git` for one that was not built by a release."""
        return str(self.client.call("get", "version")["version"])

    def edge(self, name: str, upstream: str) -> ToxiproxyEdge:
        """A new proxy on a free port. Raises AlreadyExists."""
        return self._made(self.client.call("post", "proxies", body=self._wanted(name, upstream)))

    def populate(self, upstreams: Mapping[str, str]) -> dict[str, ToxiproxyEdge]:
        """Several in one call, name to `host:port`; one that exists is made anew."""
        body = [self._wanted(name, upstream) for name, upstream in upstreams.items()]
        return {one["name"]: self._made(one) for one in self.client.call("post", "populate", body=body)["proxies"]}

    def reset(self) -> None:
        """Every proxy of the server listens, every toxic is gone."""
        self.client.call("post", "reset")

    def close(self) -> None:
        """Delete the edges made here, and end `server`; idempotent."""
        server, self._server = self._server, None
        if server:
            self.edges.clear()
            server.stop()
        for edge in list(self.edges.values()):
            edge.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wanted(self, name: str, upstream: str) -> dict[str, Any]:
        address(upstream)
        if self.published and not self._free:
            raise WireError(f"no published port is left for edge {name!r}")
        listen = f"0.0.0.0:{self._free.pop(0)}" if self.published else "127.0.0.1:0"
        return {"name": edge_name(name), "upstream": upstream, "listen": listen, "enabled": True}

    def _made(self, shown: Mapping[str, Any]) -> ToxiproxyEdge:
        edge = self.edges[shown["name"]] = ToxiproxyEdge(self, shown["name"], shown)
        return edge
