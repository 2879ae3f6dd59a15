"""The same cases against the built-in wire's HTTP API and a real toxiproxy-server: what one does, the other does."""

import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from brownout.subject.waiting import eventually
from brownout.wire import KINDS
from tests.kit.toxiproxy_servers import builtin, official
from tests.kit.wire_peers import PATIENCE, Upstream, ending, exactly, refused, seconds, silent, upstream
from tests.measured import measured

WIRE_ONLY = {"rst", "blackhole", "swallow", "half_open", "spike"}


@dataclass
class Server:
    """One API, driven by bare HTTP."""

    kind: str
    port: int

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str, bytes]:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        try:
            link.request(method, path, data, headers or {})
            answer = link.getresponse()
            return answer.status, answer.headers.get("Content-Type", ""), answer.read()
        finally:
            link.close()

    def do(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        got, _, data = self.ask(method, path, body)
        assert got == status, (method, path, got, data)
        return json.loads(data, object_hook=without_logger) if data else None


def without_logger(shown: dict[str, Any]) -> dict[str, Any]:
    """Toxiproxy 2.12 shows an empty `Logger` in each proxy: a slip (proxy.go), which no client reads."""
    return {key: value for key, value in shown.items() if key != "Logger"}


@dataclass
class Proxied:
    """A proxy on such a server."""

    server: Server
    up: Upstream
    port: int

    def add(self, type: str, **fields: Any) -> None:
        extra = {key: fields.pop(key) for key in ("stream", "toxicity", "name") if key in fields}
        self.server.do("POST", "/proxies/p/toxics", {"type": type, "attributes": fields, **extra})

    def remove(self, name: str) -> None:
        self.server.do("DELETE", f"/proxies/p/toxics/{name}", status=204)


@pytest.fixture(scope="module", params=["builtin", "builtin-uvloop", "toxiproxy"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if request.param == "toxiproxy":
        with official(tmp_path_factory.mktemp("toxiproxy")) as port:
            yield Server("toxiproxy", port)
    else:
        with builtin("uvloop" if request.param == "builtin-uvloop" else "asyncio") as port:
            yield Server("builtin", port)


@pytest.fixture
def api(server: Server) -> Iterator[Server]:
    """The server with no proxy."""
    yield server
    for name in server.do("GET", "/proxies"):
        server.do("DELETE", f"/proxies/{name}", status=204)


@pytest.fixture
def proxy(api: Server) -> Iterator[Proxied]:
    with upstream() as up:
        made = api.do("POST", "/proxies", {"name": "p", "listen": "127.0.0.1:0", "upstream": up.address}, 201)
        yield Proxied(api, up, int(made["listen"].rpartition(":")[2]))


LATENCY = {
    "attributes": {"latency": 5, "jitter": 0},
    "name": "latency_downstream",
    "type": "latency",
    "stream": "downstream",
    "toxicity": 1,
}
UPSTREAM_NOOP = {"attributes": {}, "name": "n", "type": "noop", "stream": "upstream", "toxicity": 0.5}


# --- routes, statuses, defaults, error texts


def test_a_proxy_lives_through_its_routes(api: Server) -> None:
    made = api.do("POST", "/proxies", {"name": "p", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}, 201)
    host, _, port = made["listen"].rpartition(":")
    assert (host, int(port) > 0) == ("127.0.0.1", True)
    assert made == {"name": "p", "listen": made["listen"], "upstream": "127.0.0.1:1", "enabled": True, "toxics": []}
    assert api.do("GET", "/proxies/p") == made
    assert api.do("GET", "/proxies") == {"p": made}
    assert api.do("POST", "/proxies/p", {"name": "other", "enabled": False}) == {**made, "enabled": False}
    assert api.do("PATCH", "/proxies/p", {"upstream": "127.0.0.1:2", "enabled": True})["upstream"] == "127.0.0.1:2"
    assert api.do("PATCH", "/proxies/p", {}) == {**made, "upstream": "127.0.0.1:2"}
    assert api.do("DELETE", "/proxies/p", status=204) is None
    assert api.do("GET", "/proxies") == {}


def test_a_proxy_can_be_made_disabled(api: Server) -> None:
    want = {"name": "off", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1", "enabled": False}
    assert api.do("POST", "/proxies", want, 201)["enabled"] is False
    assert api.do("PATCH", "/proxies/off", {"enabled": True})["enabled"] is True


def test_a_toxic_lives_through_its_routes(proxy: Proxied) -> None:
    api = proxy.server
    assert api.do("GET", "/proxies/p/toxics") == []
    assert api.do("POST", "/proxies/p/toxics", {"type": "latency", "attributes": {"latency": 5}}) == LATENCY
    upstream_one = {"type": "noop", "name": "n", "stream": "UPSTREAM".lower(), "toxicity": 0.5}
    assert api.do("POST", "/proxies/p/toxics", upstream_one) == UPSTREAM_NOOP
    assert api.do("GET", "/proxies/p/toxics") == [UPSTREAM_NOOP, LATENCY]  # upstream first
    assert api.do("GET", "/proxies/p")["toxics"] == [UPSTREAM_NOOP, LATENCY]
    assert api.do("GET", "/proxies/p/toxics/latency_downstream") == LATENCY
    changed = {**LATENCY, "attributes": {"latency": 5, "jitter": 2}, "toxicity": 0.25}
    change = {"attributes": {"jitter": 2}, "toxicity": 0.25, "stream": "upstream", "name": "ignored"}
    assert api.do("POST", "/proxies/p/toxics/latency_downstream", change) == changed
    assert api.do("PATCH", "/proxies/p/toxics/latency_downstream", {}) == changed
    proxy.remove("n")
    assert api.do("GET", "/proxies/p/toxics") == [changed]


@pytest.mark.parametrize(
    ("type", "attributes"),
    [
        ("bandwidth", {"rate": 0}),
        ("latency", {"latency": 0, "jitter": 0}),
        ("limit_data", {"bytes": 0}),
        ("noop", {}),
        ("reset_peer", {"timeout": 0}),
        ("slicer", {"average_size": 0, "size_variation": 0, "delay": 0}),
        ("slow_close", {"delay": 0}),
        ("timeout", {"timeout": 0}),
    ],
)
def test_every_attribute_defaults_to_zero(proxy: Proxied, type: str, attributes: dict[str, int]) -> None:
    shown = {"attributes": attributes, "name": f"{type}_downstream", "type": type, "stream": "downstream"}
    assert proxy.server.do("POST", "/proxies/p/toxics", {"type": type, "colour": 1}) == {**shown, "toxicity": 1}


ERRORS: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/proxies", b"", 400, "bad request body: EOF"),
    ("POST", "/proxies", b"{", 400, "bad request body: …"),
    ("POST", "/proxies", [], 400, "bad request body: json: cannot unmarshal array…"),
    ("POST", "/proxies", {"name": 5}, 400, "bad request body: json: cannot unmarshal number…"),
    ("POST", "/proxies", {"upstream": "h:1"}, 400, "missing required field: name"),
    ("POST", "/proxies", {"name": "x"}, 400, "missing required field: upstream"),
    ("POST", "/proxies", {"name": "p", "upstream": "h:1"}, 409, "proxy already exists"),
    ("POST", "/proxies/p", b"[", 400, "bad request body: …"),
    ("PATCH", "/proxies/p", {"enabled": "no"}, 400, "bad request body: json: cannot unmarshal string…"),
    ("POST", "/proxies/p/toxics", b"", 400, "bad request body: EOF"),
    ("POST", "/proxies/p/toxics", {}, 400, "invalid toxic type"),
    ("POST", "/proxies/p/toxics", {"type": "rst"}, 400, "invalid toxic type"),
    ("POST", "/proxies/p/toxics", {"type": "down"}, 400, "invalid toxic type"),
    (
        "POST",
        "/proxies/p/toxics",
        {"type": "nothing", "stream": "sideways"},
        400,
        "stream was invalid, can be either upstream or downstream",
    ),
    ("POST", "/proxies/p/toxics", {"type": "latency", "name": "t"}, 409, "toxic already exists"),
    (
        "POST",
        "/proxies/p/toxics",
        {"type": "latency", "attributes": {"latency": "1"}},
        400,
        "bad request body: json: cannot unmarshal string…",
    ),
    (
        "POST",
        "/proxies/p/toxics",
        {"type": "latency", "attributes": {"latency": 1.5}},
        400,
        "bad request body: json: cannot unmarshal number…",
    ),
    (
        "PATCH",
        "/proxies/p/toxics/t",
        {"attributes": {"timeout": []}},
        400,
        "bad request body: json: cannot unmarshal array…",
    ),
    *((method, "/proxies/none", {}, 404, "proxy not found") for method in ("GET", "POST", "PATCH", "DELETE")),
    *((method, "/proxies/none/toxics", {}, 404, "proxy not found") for method in ("GET", "POST")),
    *((method, "/proxies/none/toxics/t", {}, 404, "proxy not found") for method in ("GET", "POST", "PATCH", "DELETE")),
    *((method, "/proxies/p/toxics/none", {}, 404, "toxic not found") for method in ("GET", "POST", "PATCH", "DELETE")),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    ERRORS,
    ids=[f"{n}-{case[0]}{case[1].replace('/', '.')}-{case[3]}" for n, case in enumerate(ERRORS)],
)
def test_errors_are_worded_and_typed_alike(
    proxy: Proxied, method: str, path: str, body: Any, status: int, says: str
) -> None:
    proxy.add("timeout", name="t")
    got, type, data = proxy.server.ask(method, path, body)
    error = json.loads(data)
    assert (got, type, error["status"]) == (status, "text/plain; charset=utf-8", status)
    assert error["error"] == says if "…" not in says else error["error"].startswith(says.rstrip("…"))


def test_a_taken_or_nonsensical_address_is_a_server_error(proxy: Proxied) -> None:
    taken = f"127.0.0.1:{proxy.port}"
    status, _, data = proxy.server.ask("POST", "/proxies", {"name": "q", "listen": taken, "upstream": "h:1"})
    assert (status, json.loads(data)["error"]) == (500, f"listen tcp {taken}: bind: address already in use")
    assert "q" not in proxy.server.do("GET", "/proxies")


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/", 404, b"404 page not found\n"),
        ("GET", "/metrics", 404, b"404 page not found\n"),
        ("GET", "/proxies/p/toxics/t/more", 404, b"404 page not found\n"),
        ("PUT", "/proxies", 405, b""),
        ("PATCH", "/proxies", 405, b""),
        ("GET", "/reset", 405, b""),
        ("PATCH", "/proxies/p/toxics", 405, b""),
        ("DELETE", "/version", 405, b""),
    ],
)
def test_there_are_no_other_routes(proxy: Proxied, method: str, path: str, status: int, says: bytes) -> None:
    got, _, data = proxy.server.ask(method, path)
    assert (got, data) == (status, says)


def test_the_version_is_json(api: Server) -> None:
    status, type, data = api.ask("GET", "/version")
    assert (status, type, list(json.loads(data))) == (200, "application/json;charset=utf-8", ["version"])


def test_browsers_are_refused(api: Server) -> None:
    answer = api.ask("GET", "/proxies", headers={"User-Agent": "Mozilla/5.0"})
    assert answer == (403, "text/plain; charset=utf-8", b"User agent not allowed\n")


def test_populate_makes_keeps_and_replaces(proxy: Proxied) -> None:
    api = proxy.server
    proxy.add("noop", name="mark")
    same = {"name": "p", "listen": f"127.0.0.1:{proxy.port}", "upstream": proxy.up.address}
    new = {"name": "q", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1", "enabled": False}
    kept, made = api.do("POST", "/populate", [same, new], 201)["proxies"]
    assert [toxic["name"] for toxic in kept["toxics"]] == ["mark"]
    assert (made["name"], made["enabled"]) == ("q", False)
    (replaced,) = api.do("POST", "/populate", [{**same, "upstream": "127.0.0.1:1"}], 201)["proxies"]
    assert (replaced["toxics"], replaced["listen"]) == ([], same["listen"])
    assert sorted(api.do("GET", "/proxies")) == ["p", "q"]
    assert api.do("POST", "/populate", [], 201) == {"proxies": None}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([{"name": "a", "upstream": "h:1"}, {"upstream": "h:1"}], "missing required field: name at proxy 2"),
        ([{"name": "a"}], "missing required field: upstream at proxy 1"),
        ({}, "bad request body: json: cannot unmarshal object"),
        ([{"name": 1}], "bad request body: json: cannot unmarshal number"),
    ],
)
def test_populate_refuses_as_a_whole(api: Server, body: Any, says: str) -> None:
    answer = api.do("POST", "/populate", body, 400)
    assert answer["error"].startswith(says)
    assert (answer["status"], answer["proxies"]) == (400, None)
    assert api.do("GET", "/proxies") == {}


def test_populate_keeps_what_it_made_before_it_failed(proxy: Proxied) -> None:
    good = {"name": "good", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}
    bad = {"name": "bad", "listen": f"127.0.0.1:{proxy.port}", "upstream": "127.0.0.1:1"}
    answer = proxy.server.do("POST", "/populate", [good, bad], 500)
    assert [one["name"] for one in answer["proxies"]] == ["good"]
    assert "address already in use" in answer["error"]


def test_reset_enables_and_heals_every_proxy(proxy: Proxied) -> None:
    proxy.add("latency", latency=1)
    proxy.server.do("PATCH", "/proxies/p", {"enabled": False})
    assert proxy.server.do("POST", "/reset", status=204) is None
    shown = proxy.server.do("GET", "/proxies/p")
    assert (shown["enabled"], shown["toxics"]) == (True, [])


# --- what toxics do


def test_without_a_toxic_bytes_pass_unchanged_both_ways(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    data = bytes(range(256)) * 400
    seconds(server, data, client)
    seconds(client, data[::-1], server)


def test_latency_delays_one_stream(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("latency", latency=150)
    assert seconds(client, b"down", server) >= 0.145
    proxy.add("latency", latency=60_000, stream="upstream", toxicity=0)
    seconds(server, b"up", client)  # long before the 60 s


def test_latencies_add_up(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("latency", latency=80, name="one")
    proxy.add("latency", latency=80, name="two")
    assert seconds(client, b"x", server) >= 0.155


def test_latency_taken_off_lets_go_at_once(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("latency", latency=60_000)
    server.sendall(b"one")
    assert silent(client)
    proxy.remove("latency_downstream")
    assert exactly(client, 3) == b"one"


def test_latency_updated_lets_go_at_once(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("latency", latency=60_000)
    server.sendall(b"one")
    assert silent(client)
    proxy.server.do("PATCH", "/proxies/p/toxics/latency_downstream", {"attributes": {"latency": 1}})
    assert exactly(client, 3) == b"one"


def test_bandwidth_is_kilobytes_a_second(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("bandwidth", rate=100)
    assert seconds(client, b"x" * 30_000, server) >= 0.27


def test_bandwidth_0_stops_until_it_is_taken_off(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("bandwidth", rate=0)
    server.sendall(b"x" * 50_000)
    assert silent(client)
    proxy.remove("bandwidth_downstream")
    assert exactly(client, 50_000) == b"x" * 50_000


def test_slow_close_delays_the_end_alone(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("slow_close", delay=300)
    server.sendall(b"bye")
    assert exactly(client, 3) == b"bye"
    begun = time.monotonic()
    server.close()
    assert ending(client) == (b"", "FIN")
    assert time.monotonic() - begun >= 0.28


def test_slow_close_taken_off_closes_at_once(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("slow_close", delay=60_000)
    server.close()
    assert silent(client)
    proxy.remove("slow_close_downstream")
    assert ending(client) == (b"", "FIN")


def test_timeout_drops_and_closes_after_silence(proxy: Proxied) -> None:
    proxy.add("timeout", timeout=400)

    def traffic_keeps_it_open() -> bool:
        """For longer than the toxic's time. False when a busy machine made a pause of so much silence."""
        client, server = proxy.up.pair(proxy)
        begun = last = time.monotonic()
        waited, opened = 0.0, True
        while opened and last - begun < 0.6:
            with measured() as pause:
                last = time.monotonic()
                server.sendall(b"lost")
                opened = silent(client)
            waited = pause.waited
        assert ending(client) == (b"", "FIN")
        # A server that waited for a CPU may have read the last chunk late, or not at all.
        assert time.monotonic() - last + (0 if opened else waited) >= 0.39
        assert ending(server) == (b"", "FIN")
        return opened

    eventually(traffic_keeps_it_open, within=PATIENCE, what="traffic keeps the connection open")


def test_timeout_0_is_silence_and_taking_it_off_closes(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("timeout", timeout=0)
    server.sendall(b"lost")
    assert silent(client)
    proxy.remove("timeout_downstream")
    assert ending(client) == (b"", "FIN")
    assert ending(server) == (b"", "FIN")


def test_timeout_taken_off_closes_connections_that_it_spared(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("timeout", timeout=0, toxicity=0)
    seconds(client, b"passes", server)
    proxy.remove("timeout_downstream")
    assert ending(client) == (b"", "FIN")


def test_timeout_does_not_outlive_the_sender(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("timeout", timeout=0)
    server.close()
    assert ending(client) == (b"", "FIN")


def test_reset_peer_on_a_connection_opened_later_is_a_reset_at_its_first_byte(proxy: Proxied) -> None:
    proxy.add("reset_peer", timeout=0)
    client, server = proxy.up.pair(proxy)
    assert silent(client)
    server.sendall(b"x")
    assert ending(client) == (b"", "RST")
    assert ending(server) == (b"", "RST")


def test_reset_peer_on_an_older_connection_only_closes(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    seconds(client, b"it is there", server)
    proxy.add("reset_peer", timeout=0)
    assert silent(client)
    server.sendall(b"x")
    assert ending(client) == (b"", "FIN")


def test_reset_peer_waits_after_the_byte(proxy: Proxied) -> None:
    proxy.add("reset_peer", timeout=250, stream="upstream")
    client, _server = proxy.up.pair(proxy)
    begun = time.monotonic()
    client.sendall(b"x")
    assert ending(client) == (b"", "RST")
    assert time.monotonic() - begun >= 0.24


def test_slicer_changes_no_byte_and_paces(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("slicer", average_size=10, size_variation=4, delay=10_000)
    data = bytes(range(256))
    assert seconds(client, data, server) >= 0.12


@pytest.mark.parametrize("limit", [0, 5, 7])
def test_limit_data_closes_after_so_many_bytes(proxy: Proxied, limit: int) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("limit_data", bytes=limit)
    server.sendall(b"1234567")
    assert ending(client) == (b"1234567"[:limit], "FIN")
    assert ending(server) == (b"", "FIN")


def test_limit_data_counts_on_when_updated(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("limit_data", bytes=100)
    seconds(client, b"1234", server)
    proxy.server.do("PATCH", "/proxies/p/toxics/limit_data_downstream", {"attributes": {"bytes": 6}})
    server.sendall(b"5678")
    assert ending(client) == (b"56", "FIN")


def test_limit_data_starts_again_when_added_again(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("limit_data", bytes=6)
    seconds(client, b"1234", server)
    proxy.remove("limit_data_downstream")
    proxy.add("limit_data", bytes=6)
    server.sendall(b"12345678")
    assert ending(client) == (b"123456", "FIN")


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_a_toxic_leaves_the_other_stream_alone(proxy: Proxied, stream: str) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("timeout", timeout=0, stream=stream)
    hit, spared = (client, server) if stream == "upstream" else (server, client)
    hit.sendall(b"lost")
    assert silent(spared)
    seconds(hit, b"passes", spared)


def test_toxicity_0_acts_on_nothing(proxy: Proxied) -> None:
    proxy.add("limit_data", bytes=0, toxicity=0)
    client, server = proxy.up.pair(proxy)
    seconds(client, b"passes", server)


def test_toxicity_is_drawn_again_when_the_toxic_is_updated(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.add("limit_data", bytes=0, toxicity=0)
    seconds(client, b"passes", server)
    proxy.server.do("PATCH", "/proxies/p/toxics/limit_data_downstream", {"toxicity": 1})
    server.sendall(b"x")
    assert ending(client) == (b"", "FIN")


def test_disabled_closes_what_lives_and_refuses_what_comes(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    proxy.server.do("PATCH", "/proxies/p", {"enabled": False})
    assert ending(client) == (b"", "FIN")
    assert ending(server) == (b"", "FIN")
    assert refused(proxy)
    proxy.server.do("PATCH", "/proxies/p", {"enabled": True})
    client, server = proxy.up.pair(proxy)
    seconds(client, b"again", server)


def test_a_new_upstream_closes_what_lives_and_keeps_port_and_toxics(proxy: Proxied) -> None:
    client, _ = proxy.up.pair(proxy)
    proxy.add("noop", name="mark")
    with upstream() as other:
        shown = proxy.server.do("PATCH", "/proxies/p", {"upstream": other.address})
        assert [toxic["name"] for toxic in shown["toxics"]] == ["mark"]
        assert ending(client) == (b"", "FIN")
        client, server = other.pair(proxy)
        seconds(client, b"there", server)


def test_a_deleted_proxy_closes_and_refuses(proxy: Proxied) -> None:
    client, _ = proxy.up.pair(proxy)
    proxy.server.do("DELETE", "/proxies/p", status=204)
    assert ending(client) == (b"", "FIN")
    assert refused(proxy)


def test_clients_of_an_upstream_that_refuses_connect_and_see_the_end(api: Server) -> None:
    """So that those who only look whether the port is open are not told that it is closed."""
    with upstream() as gone:
        where = gone.address
    made = api.do("POST", "/proxies", {"name": "p", "listen": "127.0.0.1:0", "upstream": where}, 201)
    with upstream() as up:
        proxied = Proxied(api, up, int(made["listen"].rpartition(":")[2]))
        assert [ending(up.connect(proxied)) for _ in range(100)] == [(b"", "FIN")] * 100


# --- and where they differ, on purpose


def test_what_only_the_built_in_wire_can_do_is_listed() -> None:
    assert {name for name, kind in KINDS.items() if kind.wires == {"builtin"}} == WIRE_ONLY


def test_half_closes_are_carried_through_by_the_built_in_wire_alone(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    client.shutdown(1)
    assert ending(server) == (b"", "FIN")
    if proxy.server.kind == "builtin":
        seconds(client, b"the answer", server)
    else:
        assert ending(client) == (b"", "FIN")


def test_a_reset_is_carried_through_by_the_built_in_wire_alone(proxy: Proxied) -> None:
    client, server = proxy.up.pair(proxy)
    seconds(client, b"it is there", server)
    server.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SOL_SOCKET, SO_LINGER: on, 0 s
    server.close()
    assert ending(client) == (b"", {"builtin": "RST", "toxiproxy": "FIN"}[proxy.server.kind])


def test_a_foreign_host_is_refused_by_the_built_in_wire_alone(api: Server) -> None:
    status, _, _ = api.ask("GET", "/version", headers={"Host": "rebound.example:8474"})
    assert status == {"builtin": 403, "toxiproxy": 200}[api.kind]


def test_the_built_in_wire_listens_on_the_loopback_alone(api: Server) -> None:
    """`loopback`: no machine has this address, so the server cannot listen on it either, but it tries."""
    want = {"name": "p", "listen": "192.0.2.1:0", "upstream": "127.0.0.1:1"}
    status, _, _ = api.ask("POST", "/proxies", want)
    assert status == {"builtin": 400, "toxiproxy": 500}[api.kind]
