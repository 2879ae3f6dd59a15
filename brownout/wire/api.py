"""Toxiproxy's HTTP API (v2.12, `api.go`) over the built-in wire: its routes, statuses, defaults and error texts.

On purpose different: only the loopback is listened on and requests that name another host are refused (a page
in a browser can reach the loopback by a name of its own); a disabled proxy already has its port; the built-in
wire's own toxics are not reachable by this API.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from brownout.wire import http
from brownout.wire.address import address
from brownout.wire.edge import Edge
from brownout.wire.errors import AlreadyExists, BadRequest, NotFound, WireError
from brownout.wire.http import Request, Response
from brownout.wire.toxics import KINDS, Toxic

if TYPE_CHECKING:
    from brownout.wire.wire import Wire

VERSION = "2.12.0-brownout"
GO_NAMES = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}


async def serve(wire: Wire, port: int) -> asyncio.Server:
    """Listen on 127.0.0.1."""
    return await http.listen(lambda request: answer(wire, request), port, wire.settle)


def answer(wire: Wire, request: Request) -> Response:
    """One request, answered. Runs on the wire's loop thread."""
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    if host not in ("127.0.0.1", "localhost", "[::1]"):
        return text(403, "Host not allowed\n")
    match [part for part in request.path.split("/") if part]:
        case ["version"]:
            routes: dict[str, Callable[[], Response]] = {"GET": version}
        case ["reset"]:
            routes = {"POST": lambda: reset(wire)}
        case ["populate"]:
            routes = {"POST": lambda: populate(wire, request.body)}
        case ["proxies"]:
            routes = {
                "GET": lambda: ok({name: shown(edge) for name, edge in sorted(wire.edges.items())}),
                "POST": lambda: create(wire, request.body),
            }
        case ["proxies", name]:
            routes = {
                "GET": lambda: ok(shown(find(wire, name))),
                "POST": lambda: update(find(wire, name), request.body),
                "DELETE": lambda: gone(find(wire, name).close),
            }
        case ["proxies", name, "toxics"]:
            routes = {
                "GET": lambda: ok(shown(find(wire, name))["toxics"]),
                "POST": lambda: add(find(wire, name), request.body),
            }
        case ["proxies", name, "toxics", toxic]:
            routes = {
                "GET": lambda: ok(toxic_of(find(wire, name), toxic).to_json()),
                "POST": lambda: change(find(wire, name), toxic, request.body),
                "DELETE": lambda: gone(lambda: find(wire, name).remove(toxic_of(find(wire, name), toxic).name)),
            }
        case _:
            return text(404, "404 page not found\n")
    if "POST" in routes and "DELETE" in routes:
        routes["PATCH"] = routes["POST"]  # POST is Toxiproxy's old word for it
    route = routes.get(request.method)
    if route is None:
        return Response(405, type="text/plain")
    if request.headers.get("user-agent", "").startswith("Mozilla/"):
        return text(403, "User agent not allowed\n")
    try:
        return route()
    except WireError as wrong:
        return text(wrong.status, json.dumps({"error": str(wrong), "status": wrong.status}) + "\n")


def ok(data: Any, status: int = 200) -> Response:
    """JSON."""
    return Response(status, json.dumps(data).encode())


def text(status: int, body: str) -> Response:
    """As Go's http.Error: plain text, even around JSON."""
    return Response(status, body.encode(), "text/plain; charset=utf-8")


def gone(act: Callable[[], object]) -> Response:
    """Do it, and have nothing to say."""
    act()
    return Response(204)


def version() -> Response:
    """What this is."""
    return Response(200, f'{{"version": "{VERSION}"}}\n'.encode(), "application/json;charset=utf-8")


def shown(edge: Edge) -> dict[str, Any]:
    """A proxy as Toxiproxy writes it."""
    return {
        "name": edge.name,
        "listen": edge.address,
        "upstream": edge.upstream,
        "enabled": edge.enabled,
        "toxics": [toxic.to_json() for toxic in edge.toxics],
    }


def find(wire: Wire, name: str) -> Edge:
    """Raises NotFound."""
    if name not in wire.edges:
        raise NotFound("proxy not found")
    return wire.edges[name]


def toxic_of(edge: Edge, name: str) -> Toxic:
    """Raises NotFound."""
    for toxic in edge.toxics:
        if toxic.name == name:
            return toxic
    raise NotFound("toxic not found")


def decoded(body: bytes, **fields: type) -> dict[str, Any]:
    """The known fields of a JSON object; null is as absent, as for Go. Raises BadRequest."""
    return checked(parsed(body), fields)


def parsed(body: bytes) -> Any:
    """JSON. Raises BadRequest."""
    if not body.strip():
        raise BadRequest("bad request body: EOF")
    try:
        return json.loads(body)
    except ValueError as wrong:
        raise BadRequest(f"bad request body: {wrong}") from None


def checked(data: Any, fields: dict[str, type]) -> dict[str, Any]:
    """Raises BadRequest where Go could not decode it into a struct of these types."""
    if not isinstance(data, dict):
        raise BadRequest(f"bad request body: json: cannot unmarshal {GO_NAMES.get(type(data), 'null')}")
    found = {key: data[key] for key in fields if data.get(key) is not None}
    for key, value in found.items():
        if not (type(value) is fields[key] or (fields[key] is float and type(value) is int)):
            raise BadRequest(f"bad request body: json: cannot unmarshal {GO_NAMES[type(value)]} into field {key}")
    return found


PROXY: dict[str, type] = {"name": str, "listen": str, "upstream": str, "enabled": bool}


def create(wire: Wire, body: bytes) -> Response:
    """POST /proxies."""
    want = decoded(body, **PROXY)
    for key in ("name", "upstream"):
        if not want.get(key):
            raise BadRequest(f"missing required field: {key}")
    edge = wire.create(want["name"], want["upstream"], want.get("listen") or ":0", want.get("enabled", True))
    return ok(shown(edge), 201)


def update(edge: Edge, body: bytes) -> Response:
    """POST or PATCH /proxies/{proxy}: another address drops what is live; a proxy's name stays."""
    now: dict[str, Any] = {"listen": edge.address, "upstream": edge.upstream, "enabled": edge.enabled}
    want = now | decoded(body, **PROXY)
    if differs(edge, want["listen"], want["upstream"]):
        edge.listen(False)
        if differs(edge, want["listen"], edge.upstream):
            edge.move(want["listen"])
        edge.upstream = want["upstream"]
        edge.listen(want["enabled"])
    elif want["enabled"]:
        edge.up()
    else:
        edge.down()
    return ok(shown(edge))


def differs(edge: Edge, listen: str, upstream: str) -> bool:
    """proxy.go, Differs."""
    host, port = address(listen)
    return (host.replace("localhost", "127.0.0.1"), port, upstream) != (*address(edge.address), edge.upstream)


def populate(wire: Wire, body: bytes) -> Response:
    """POST /populate: those that are already as wanted stay, toxics and all; others are made, or made anew."""
    entries = parsed(body)
    made: list[dict[str, Any]] = []
    failed: WireError | None = None
    try:
        if not isinstance(entries, list):
            raise BadRequest(f"bad request body: json: cannot unmarshal {GO_NAMES.get(type(entries), 'null')}")
        wanted = [checked(entry, PROXY) for entry in entries]
        for place, want in enumerate(wanted, 1):
            for key in ("name", "upstream"):
                if not want.get(key):
                    raise BadRequest(f"missing required field: {key} at proxy {place}")
        for want in wanted:
            listen = want.get("listen") or ":0"
            edge = wire.edges.get(want["name"])
            if edge is None or differs(edge, listen, want["upstream"]):
                if edge:
                    edge.close()
                edge = wire.create(want["name"], want["upstream"], listen, want.get("enabled", True))
            made.append(shown(edge))
    except WireError as wrong:
        failed = wrong
    proxies = {"proxies": made or None}
    if failed:
        return ok({"error": str(failed), "status": failed.status} | proxies, failed.status)
    return ok(proxies, 201)


def reset(wire: Wire) -> Response:
    """POST /reset: every proxy enabled, every toxic removed."""
    for edge in wire.edges.values():
        edge.heal()
    return Response(204)


TOXIC: dict[str, type] = {"name": str, "type": str, "stream": str, "toxicity": float, "attributes": dict}


def add(edge: Edge, body: bytes) -> Response:
    """POST …/toxics."""
    want = decoded(body, **TOXIC)
    if want.get("stream", "downstream").lower() not in ("upstream", "downstream"):
        raise BadRequest("stream was invalid, can be either upstream or downstream")
    kind = KINDS.get(want.get("type", ""))
    if kind is None or "toxiproxy" not in kind.wires or want["type"] == "down":
        raise BadRequest("invalid toxic type")
    want["stream"] = want.get("stream", "downstream").lower()
    values = checked(want.pop("attributes", {}), dict.fromkeys(kind.attributes, int))
    toxic = Toxic(**want, attributes=values)
    if any(toxic.name == other.name for other in edge.toxics):
        raise AlreadyExists("toxic already exists")
    return ok(edge.add(toxic).to_json())


def change(edge: Edge, name: str, body: bytes) -> Response:
    """POST or PATCH …/toxics/{toxic}: attributes and toxicity, nothing else."""
    toxic = toxic_of(edge, name)
    want = decoded(body, toxicity=float, attributes=dict)
    values = checked(want.pop("attributes", {}), dict.fromkeys(toxic.attributes, int))
    return ok(edge.add(replace(toxic, attributes={**toxic.attributes, **values}, **want)).to_json())
