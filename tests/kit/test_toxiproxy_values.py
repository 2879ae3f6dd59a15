"""What the built-in wire's API accepts cannot break a connection; slices stay apart."""

import http.client
import json
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from brownout.subject.waiting import eventually
from brownout.wire import KINDS, Wire, latency
from tests.kit.toxiproxy_servers import Api
from tests.kit.wire_peers import PATIENCE, Upstream, ending, exactly, seconds, upstream

ON_BOTH = sorted(name for name, kind in KINDS.items() if "toxiproxy" in kind.wires and name != "down")


@pytest.fixture
def up() -> Iterator[Upstream]:
    with upstream() as up:
        yield up


@pytest.fixture(params=["asyncio", "uvloop"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    """Fails the test when anything was raised on its loop."""
    raised: list[dict[str, Any]] = []
    with Wire(loop=request.param) as wire:
        wire.run(lambda: wire.loop.set_exception_handler(lambda _, context: raised.append(context)))
        yield wire
    assert not raised


def ask(port: int, method: str, path: str, body: Any) -> Any:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    link.request(method, path, json.dumps(body))
    answer = link.getresponse()
    data = answer.read()
    link.close()
    assert answer.status < 300, data
    return json.loads(data) if data else None


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), -1], ids=["largest", "smallest", "negative"])
@pytest.mark.parametrize("kind", ON_BOTH)
def test_no_value_breaks_the_data_path(wire: Wire, up: Upstream, kind: str, value: int) -> None:
    api = wire.serve_api()
    ask(api, "POST", "/proxies", {"name": "p", "listen": "127.0.0.1:0", "upstream": up.address})
    client, server = up.pair(wire.edges["p"])
    values = dict.fromkeys(KINDS[kind].attributes, value)
    ask(api, "POST", "/proxies/p/toxics", {"name": "t", "type": kind, "attributes": values})
    server.sendall(b"x" * 100)
    ask(api, "PATCH", "/proxies/p/toxics/t", {"attributes": values, "toxicity": 2})
    ask(api, "DELETE", "/proxies/p/toxics/t", None)
    if kind == "timeout" or (kind in ("reset_peer", "limit_data") and value < 0):
        assert ending(client)[1] == "FIN"
    else:
        if kind != "reset_peer":  # which drops what comes while it waits
            assert exactly(client, 100) == b"x" * 100
        seconds(client, b"it goes on", server)
        seconds(server, b"both ways", client)


@pytest.mark.parametrize("upstream", ["junk", ":", "h:²", "h:" + "1" * 5000, "a\0b:1", "x" * 70 + ":1"])
def test_no_upstream_breaks_an_edge(wire: Wire, up: Upstream, upstream: str) -> None:
    ask(wire.serve_api(), "POST", "/proxies", {"name": "p", "listen": "127.0.0.1:0", "upstream": upstream})
    assert ending(up.connect(wire.edges["p"])) == (b"", "FIN")


def test_ipv6_on_both_sides(wire: Wire, up: Upstream) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        target = f"[::1]:{listener.getsockname()[1]}"
        made = ask(wire.serve_api(), "POST", "/proxies", {"name": "p", "listen": "[::1]:0", "upstream": target})
        with (
            socket.create_connection(("::1", wire.edges["p"].port), PATIENCE) as client,
            listener.accept()[0] as server,
        ):
            assert made["listen"] == f"[::1]:{client.getpeername()[1]}"
            seconds(client, b"there", server)
            seconds(server, b"and back", client)


@pytest.mark.parametrize(("share", "hit"), [(-0.5, False), (1.5, True)])
def test_a_share_outside_0_to_1_hits_none_or_all(wire: Wire, up: Upstream, share: float, hit: bool) -> None:
    api = wire.serve_api()
    ask(api, "POST", "/proxies", {"name": "p", "listen": "127.0.0.1:0", "upstream": up.address})
    ask(api, "POST", "/proxies/p/toxics", {"type": "limit_data", "toxicity": share})
    for _ in range(10):
        client, server = up.pair(wire.edges["p"])
        server.sendall(b"x")
        assert client.recv(1) == (b"" if hit else b"x")


@pytest.mark.parametrize("written", ["downstream", "DownStream"])
def test_a_toxic_is_the_same_from_python_and_from_the_api(written: str) -> None:
    """To arm it again would let go of what it holds."""
    armed: list[str] = []
    with Wire(on_event=lambda kind, data: armed.append(data["toxic"]) if kind == "toxic-added" else None) as wire:
        api, edge = wire.serve_api(), wire.edge("p", "127.0.0.1:1")
        edge.add(latency(60_000, toxicity=0.1, name="python's"))
        ask(api, "PATCH", "/proxies/p/toxics/python's", {"toxicity": 0.1})
        values = {"type": "latency", "stream": written, "name": "api's", "attributes": {"latency": 60_000}}
        ask(api, "POST", "/proxies/p/toxics", values)
        edge.add(latency(60_000, name="api's"))
        assert armed == ["python's", "api's"]
        edge.add(latency(60_001, name="api's"))
        ask(api, "PATCH", "/proxies/p/toxics/python's", {"toxicity": 0.2})
        assert armed == ["python's", "api's", "api's", "python's"]


def test_slices_with_a_delay_of_microseconds_are_read_one_by_one(pair: tuple[Api, Api], up: Upstream) -> None:
    """Most of a few: a reader that had to wait for a CPU finds several at once, so it tries again with others."""

    def most_are_alone(client: socket.socket, server: socket.socket) -> bool:
        server.sendall(b"x" * 800)
        found: list[int] = []
        while sum(found) < 800:
            found.append(len(client.recv(65536)))
        return len(found) >= 7

    for api in pair:
        api.clear()
        made = ask(api.port, "POST", "/proxies", {"name": "p", "listen": "127.0.0.1:0", "upstream": up.address})
        with socket.create_connection(("127.0.0.1", int(made["listen"].rpartition(":")[2])), PATIENCE) as client:
            server = up.accept()
            attributes = {"average_size": 80, "size_variation": 10, "delay": 10}
            ask(api.port, "POST", "/proxies/p/toxics", {"type": "slicer", "attributes": attributes})
            eventually(partial(most_are_alone, client, server), within=PATIENCE, what="slices are read alone")
