"""Toxiproxy's HTTP API (v2.12, `api.go`) for the built-in network proxy: the same routes, statuses, defaults and
errors.

`docs/toxiproxy.md` lists the differences from the Toxiproxy server, with reasons.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from brownout.wire.errors import AlreadyExists, BadRequest, NotFound, WireError
from brownout.wire.tcp.address import joined, resolved
from brownout.wire.tcp.edge import Edge
from brownout.wire.tcp.toxics import KINDS, AnyToxic, Toxic
from brownout.wire.toxiproxy import http
from brownout.wire.toxiproxy.gojson import Float32, Int64, Object, decoded, mismatch, parsed
from brownout.wire.toxiproxy.http import TEXT, Request, Response, cleaned, host_of

if TYPE_CHECKING:
    from brownout.wire.tcp.wire import Wire

VERSION = "2.12.0"  # Clients parse the version; the header `Server` says that this is not Toxiproxy.
LOCAL = ("127.0.0.1", "localhost", "[::1]", "")  # HTTP/1.0 needs no Host header; browsers always send one.
PROXY = {"name": str, "listen": str, "upstream": str, "enabled": bool, "logger": Object}
TOXIC = {"name": str, "type": str, "stream": str, "toxicity": Float32, "attributes": Object}
Handler = Callable[[bytes], Response]


async def serve(wire: Wire, port: int) -> asyncio.Server:
    """Serve the API on 127.0.0.1."""
    return await http.listen(lambda request: answer(wire, request), port, wire.settle)


def answer(wire: Wire, request: Request) -> Response:
    """Return the answer to a request, also after an error. The function runs on the proxy's event loop."""
    if host_of(request.headers.get("host", "")) not in LOCAL:
        return text(403, "Host not allowed\n")
    if (request.method, request.path) == ("OPTIONS", "*"):
        return Response(200)
    if (clean := cleaned(request.path)) != request.path:
        query = "?" + request.query if request.query else ""
        return Response(301, headers=(("Location", quote(clean, errors="surrogateescape") + query),))
    routes = routes_of(wire, clean.split("/")[1:])
    if routes is None:
        return text(404, "404 page not found\n")
    handler = routes.get(request.method)
    if handler is None:
        return Response(405)
    answer = handled(handler, request)
    return replace(answer, headers=(("Server", "brownout"), ("X-Toxiproxy-Request-Id", request_id())))


def handled(handler: Handler, request: Request) -> Response:
    """Return the handler's answer, or the answer for the handler's error."""
    if request.headers.get("user-agent", "").startswith("Mozilla/"):
        return text(403, "User agent not allowed\n")
    try:
        return handler(request.body)
    except WireError as wrong:
        return error(str(wrong), wrong.status)
    except Exception as wrong:
        return error(repr(wrong), 500)


def routes_of(wire: Wire, path: list[str]) -> Mapping[str, Handler] | None:
    """Return the handlers of a path, by method, or None for an unknown path."""
    match path:
        case ["version"]:
            return {"GET": lambda _: version()}
        case ["reset"]:
            return {"POST": lambda _: reset(wire)}
        case ["populate"]:
            return {"POST": lambda body: populate(wire, body)}
        case ["proxies"]:
            return {"GET": lambda _: index(wire), "POST": lambda body: create(wire, body)}
        case ["proxies", name] if name:
            return {
                "GET": lambda _: ok(shown(find(wire, name))),
                "POST": (update_it := lambda body: update(find(wire, name), body)),
                "PATCH": update_it,  # Toxiproxy keeps the method POST for old clients
                "DELETE": lambda _: gone(find(wire, name).close),
            }
        case ["proxies", name, "toxics"] if name:
            return {
                "GET": lambda _: ok(shown(find(wire, name))["toxics"]),
                "POST": lambda body: add(find(wire, name), body),
            }
        case ["proxies", name, "toxics", toxic] if name and toxic:
            return {
                "GET": lambda _: ok(toxic_of(find(wire, name), toxic).to_json()),
                "POST": (change_it := lambda body: change(find(wire, name), toxic, body)),
                "PATCH": change_it,
                "DELETE": lambda _: gone(lambda: remove(find(wire, name), toxic)),
            }
    return None


def request_id() -> str:
    """Return a random id with the length and letters of Toxiproxy's request ids."""
    return base64.b32hexencode(os.urandom(12)).decode().lower().rstrip("=")


def ok(data: Any, status: int = 200) -> Response:
    """Return an answer with `data` as JSON."""
    return Response(status, compact(data), "application/json")


def compact(data: Any) -> bytes:
    """Return `data` as JSON without spaces, as Go writes it."""
    return json.dumps(data, separators=(",", ":")).encode()


def text(status: int, body: str) -> Response:
    """Return an answer in plain text, as Go's http.Error does."""
    return Response(status, body.encode(), TEXT)


def error(message: str, status: int) -> Response:
    """Return an error as JSON with the Content-Type of plain text, as Toxiproxy does."""
    return text(status, compact({"error": message, "status": status}).decode() + "\n")


def gone(act: Callable[[], object]) -> Response:
    """Call the function `act`, and return an HTTP answer without a body."""
    act()
    return Response(204)


def version() -> Response:
    """Answer GET /version with Toxiproxy's version."""
    return Response(200, f'{{"version": "{VERSION}"}}\n'.encode(), "application/json;charset=utf-8")


def shown(edge: Edge) -> dict[str, Any]:
    """Return an edge as Toxiproxy's JSON of a proxy."""
    return {
        "name": edge.name,
        "listen": edge.address,
        "upstream": edge.upstream,
        "enabled": edge.enabled,
        "toxics": [toxic.to_json() for toxic in edge.toxics],
    }


def find(wire: Wire, name: str) -> Edge:
    """Return the network edge with this name. Raises NotFound if there is none."""
    if name not in wire.edges:
        raise NotFound("proxy not found")
    return wire.edges[name]


def toxic_of(edge: Edge, name: str) -> Toxic:
    """Return the toxic with this name of a network edge. Raises NotFound if there is none."""
    for toxic in edge.toxics:
        if toxic.name == name:
            return toxic
    raise NotFound("toxic not found")


def index(wire: Wire) -> Response:
    """Answer GET /proxies with all edges."""
    return ok({name: shown(edge) for name, edge in sorted(wire.edges.items())})


def required(want: Mapping[str, Any], place: str = "") -> None:
    """Raise BadRequest when a required field of a proxy is missing."""
    for key in ("name", "upstream"):
        if not want.get(key):
            raise BadRequest(f"missing required field: {key}{place}")


def edge_of(wire: Wire, want: Mapping[str, Any]) -> Edge:
    """Return a new edge for a proxy's fields, listening if it is enabled. The caller must add the edge to the proxy.

    Raises WireError when the edge cannot listen.
    """
    listen = want.get("listen", "")
    edge = Edge(wire, want["name"], want["upstream"], listen, keeps_port=False, resets_refused=False)
    edge.listen(want.get("enabled", True))
    return edge


def create(wire: Wire, body: bytes) -> Response:
    """Answer POST /proxies: create an edge."""
    want = decoded(parsed(body), PROXY)
    required(want)
    if want["name"] in wire.edges:
        raise AlreadyExists("proxy already exists")
    edge = wire.edges[want["name"]] = edge_of(wire, want)
    return ok(shown(edge), 201)


def update(edge: Edge, body: bytes) -> Response:
    """Answer POST or PATCH /proxies/{proxy}: a new address closes live connections; the name cannot be changed."""
    now: dict[str, Any] = {"listen": edge.address, "upstream": edge.upstream, "enabled": edge.enabled}
    want = now | decoded(parsed(body), PROXY)
    if differs(edge, want["listen"], want["upstream"]):
        edge.listen(False)
        if want["listen"] != edge.address:
            edge.move(want["listen"])
        edge.upstream = want["upstream"]
        edge.listen(want["enabled"])
    elif want["enabled"]:
        edge.up()
    else:
        edge.down()
    return ok(shown(edge))


def differs(edge: Edge, listen: str, upstream: str) -> bool:
    """Return whether addresses differ from the edge's (Differs in proxy.go). Raises WireError for a bad
    `listen`."""
    return (joined(*resolved(listen)), upstream) != (edge.address, edge.upstream)


def populate(wire: Wire, body: bytes) -> Response:
    """Answer POST /populate: existing proxies with the same addresses keep their toxics; others are created anew."""
    made: list[Edge] = []
    status, failed = 201, {}
    try:
        for want in entries(body):
            made.append(populated(wire, want))
    except WireError as wrong:
        status, failed = wrong.status, {"error": str(wrong), "status": wrong.status}
    return ok(failed | {"proxies": [shown(edge) for edge in made] or None}, status)


def entries(body: bytes) -> list[dict[str, Any]]:
    """Return the proxies in the body of /populate. Raises BadRequest when a proxy lacks a required field."""
    data = parsed(body)
    if data is not None and type(data) is not list:
        raise mismatch(data)
    wanted = [decoded(entry, PROXY) for entry in data or ()]
    for place, want in enumerate(wanted, 1):
        required(want, f" at proxy {place}")
    return wanted


def populated(wire: Wire, want: Mapping[str, Any]) -> Edge:
    """Return the edge for a proxy of /populate. If the new edge cannot listen, the old edge stays closed."""
    old = wire.edges.get(want["name"])
    if old:
        if not differs(old, want.get("listen", ""), want["upstream"]):
            return old
        old.listen(False)
    edge = edge_of(wire, want)
    if old:
        old.close()
    wire.edges[edge.name] = edge
    return edge


def reset(wire: Wire) -> Response:
    """Answer POST /reset: enable every proxy, and remove every toxic."""
    for edge in wire.edges.values():
        edge.up()
        edge.heal()
    return Response(204)


def add(edge: Edge, body: bytes) -> Response:
    """Answer POST …/toxics: add a toxic."""
    data = parsed(body)
    want = decoded(data, TOXIC)
    written = want.get("stream", "downstream")
    if (stream := written.lower()) not in ("upstream", "downstream"):
        raise BadRequest("stream was invalid, can be either upstream or downstream")
    type = want.get("type", "")
    name = want.get("name") or f"{type}_{written}"
    kind = KINDS.get(type)
    if kind is None or "toxiproxy" not in kind.wires or type == "down":
        raise BadRequest("invalid toxic type")
    if any(name == other.name for other in edge.toxics):
        raise AlreadyExists("toxic already exists")
    values = decoded(want.get("attributes"), dict.fromkeys(kind.attributes, Int64))
    toxic = AnyToxic(type, stream, want.get("toxicity", 1.0), name, values, written)
    return ok(edge.add(toxic).to_json())


def change(edge: Edge, name: str, body: bytes) -> Response:
    """Answer POST or PATCH …/toxics/{toxic}: change only attributes and toxicity."""
    toxic = toxic_of(edge, name)
    want = decoded(parsed(body), {"toxicity": Float32, "attributes": Object})
    values = decoded(want.get("attributes"), dict.fromkeys(toxic.attributes, Int64))
    written = toxic.to_json()["stream"]
    share = want.get("toxicity", toxic.toxicity)
    changed = AnyToxic(toxic.type, toxic.stream, share, name, {**toxic.attributes, **values}, written)
    return ok(edge.add(changed).to_json())


def remove(edge: Edge, name: str) -> None:
    """Answer DELETE …/toxics/{toxic}: remove a toxic. Raises NotFound if there is no such edge or toxic."""
    edge.remove(toxic_of(edge, name).name)
