"""Uses Toxiproxy as the network proxy: the package `toxiproxy-python` controls a `toxiproxy-server`, or the HTTP API of
the built-in network proxy.

Of `toxiproxy-python` (0.1.1) only `get`, `post` and `delete` of `APIConsumer` are used, because only these methods pass
a deadline on to `requests`. `APIConsumer` keeps host and port as class attributes, so each server gets a subclass.
The methods of this class block, so a coroutine must call them in another thread.
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
# ignore HTTP proxies that environment variables name, because the server is local
DIRECT = {"http": None, "https": None}


class Server(Protocol):
    """The process of a Toxiproxy server."""

    @property
    def pid(self) -> int:
        """The pid of the Toxiproxy server."""

    def stop(self) -> int:
        """End the Toxiproxy server."""


class Client:
    """The HTTP API of one Toxiproxy server; calls are made one after the other. Raises WireError, never errors of
    `requests`."""

    def __init__(self, host: str, port: int, deadline: float) -> None:
        from toxiproxy.api import APIConsumer  # toxiproxy-python is an optional extra, imported only when it is used

        self._consumer: Any = type("Consumer", (APIConsumer,), {"host": host, "port": port})
        self._deadline = deadline
        self._lock = threading.Lock()
        self.where = f"{host}:{port}"

    def call(self, verb: str, *path: str, body: Any = None) -> Any:
        """Call `get`, `post` or `delete`; return the decoded answer, None for an empty answer.

        Raises Unreachable without an answer within the deadline, and WireError for an answer that is an error.
        """
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
    """Return the text of an error answer."""
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace").strip()


class ToxiproxyEdge:
    """A proxy on the server, with the interface of the built-in network proxy's `Edge`."""

    def __init__(self, wire: ToxiproxyWire, name: str, shown: Mapping[str, Any]) -> None:
        self.name, self._wire = name, wire
        listen = address(shown["listen"])[1]
        self.port = wire.published.get(listen, listen)
        self.address = f"{wire.host}:{self.port}"

    @property
    def toxics(self) -> tuple[Toxic, ...]:
        """The network faults that are in force now, requested from the server."""
        return tuple(Toxic.from_json(data) for data in self._call("get", "toxics"))

    @property
    def enabled(self) -> bool:
        """Whether the proxy listens, requested from the server."""
        return bool(self._call("get")["enabled"])

    @property
    def upstream(self) -> str:
        """The `host:port` to which the proxy leads, requested from the server."""
        return str(self._call("get")["upstream"])

    def add(self, toxic: Toxic) -> Toxic:
        """Add a toxic (a network fault) to the proxy, or change the toxic with the same name. Raises BadRequest for a
        type that Toxiproxy lacks.

        Raises AlreadyExists when a network fault of the same name has another type or stream.
        """
        if "toxiproxy" not in toxic.wires:
            wires = " or ".join(sorted(toxic.wires))
            raise BadRequest(f"Toxiproxy has no toxic {toxic.type!r}; use the {wires} wire")
        if toxic.type == "down":
            changed = self.enabled
            self._call("post", body={"enabled": False})
        else:
            old = next((armed for armed in self.toxics if armed.name == toxic.name), None)
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
        """Remove the network fault with this name; return False if there is no such fault."""
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
        """Remove all network faults from the proxy, and listen."""
        for name in ("down", *(toxic.name for toxic in self.toxics)):
            self.remove(name)

    def down(self) -> None:
        """Stop listening, and close live connections."""
        self.add(down())

    def up(self) -> None:
        """Listen again at the proxy's port after `down`."""
        self.remove("down")

    def cut(self) -> None:
        """Close live connections, and connections that are opened during this call; no connection is refused.

        Toxiproxy closes connections when a `timeout` is removed (timeout.go, Cleanup), shortly after its answer.
        """
        toxic = timeout(stream="upstream", name="cut")
        self._call("post", "toxics", body=toxic.to_json())
        self._call("delete", "toxics", toxic.name)

    def redirect(self, upstream: str) -> None:
        """Send new connections to another `host:port`. Unlike the built-in network proxy, Toxiproxy closes the live
        connections."""
        address(upstream)
        self._call("post", body={"upstream": upstream})

    def close(self) -> None:
        """Delete the proxy from the server; idempotent."""
        with suppress(NotFound):
            self._call("delete")
        self._wire.edges.pop(self.name, None)

    def _call(self, verb: str, *path: str, body: Any = None) -> Any:
        return self._wire.client.call(verb, "proxies", self.name, *path, body=body)


class ToxiproxyWire:
    """A network proxy (a wire) that is a Toxiproxy server at `host:port`; `subject.toxiproxy_server.started` starts
    such a server.

    `deadline` is the longest time in seconds for every call. For a server in a container, `published` maps ports of the
    container to ports of `host`; each edge uses one of these ports. Toxiproxy does not report when a toxic acts, so
    `on_event` gets only toxic-added and toxic-removed, and it must be found out in another way that a fault had an
    effect. The method `close` ends the process `server`.
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
        """The pid of the process `server`, or None if there is no such process."""
        return self._server.pid if self._server else None

    def version(self) -> str:
        """The version that the server reports: "git" for a server that was not built from a release."""
        return str(self.client.call("get", "version")["version"])

    def edge(self, name: str, upstream: str) -> ToxiproxyEdge:
        """Return a new proxy on a free port. Raises AlreadyExists when a proxy has the name."""
        return self._made(self.client.call("post", "proxies", body=self._wanted(name, upstream)))

    def populate(self, upstreams: Mapping[str, str]) -> dict[str, ToxiproxyEdge]:
        """Create several proxies in one call, from name to `host:port`; an existing proxy is replaced."""
        body = [self._wanted(name, upstream) for name, upstream in upstreams.items()]
        proxies = self.client.call("post", "populate", body=body)["proxies"]
        return {proxy["name"]: self._made(proxy) for proxy in proxies}

    def reset(self) -> None:
        """Remove all network faults from all proxies of the server, and let every proxy listen."""
        self.client.call("post", "reset")

    def close(self) -> None:
        """Delete the network edges of this network proxy, and end `server`; idempotent."""
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
            raise WireError(f"no published port is left for edge {name!r}: publish more ports of the container")
        listen = f"0.0.0.0:{self._free.pop(0)}" if self.published else "127.0.0.1:0"
        return {"name": edge_name(name), "upstream": upstream, "listen": listen, "enabled": True}

    def _made(self, shown: Mapping[str, Any]) -> ToxiproxyEdge:
        edge = self.edges[shown["name"]] = ToxiproxyEdge(self, shown["name"], shown)
        return edge
