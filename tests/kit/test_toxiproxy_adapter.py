"""`toxiproxy-python` through our adapter, against the built-in wire's API and a real server; and on its own."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brownout.subject.processes.process import Process
from brownout.subject.servers import toxiproxy_server
from brownout.subject.waiting import eventually
from brownout.wire import (
    KINDS,
    AlreadyExists,
    BadRequest,
    NotFound,
    Toxic,
    Unreachable,
    Wire,
    WireError,
    blackhole,
    latency,
    limit_data,
    slow_close,
    timeout,
)
from brownout.wire.interface import AnyEdge, AnyWire
from brownout.wire.toxiproxy.adapter import ToxiproxyWire
from tests.kit.wire_peers import PATIENCE, Upstream, ending, refused, seconds, silent, upstream
from tests.measured import measured


@pytest.fixture
def up() -> Iterator[Upstream]:
    with upstream() as up:
        yield up


@pytest.fixture(params=["builtin", "toxiproxy"])
def driven(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ToxiproxyWire]:
    """A server, driven by the adapter."""
    if request.param == "builtin":
        with Wire() as wire, ToxiproxyWire("127.0.0.1", wire.serve_api()) as adapter:
            yield adapter
        return
    if not shutil.which("toxiproxy-server"):
        missing = "no toxiproxy-server on PATH (https://github.com/Shopify/toxiproxy/releases)"
        if "toxiproxy-server" in os.environ.get("BROWNOUT_REQUIRE", "").split(","):
            pytest.fail(missing)
        pytest.skip(missing)
    with toxiproxy_server.started(tmp_path / "log") as adapter:
        yield adapter


def any_edge_works(wire: AnyWire, up: Upstream) -> None:
    edge: AnyEdge = wire.edge("api->broker 1 ü?", up.address)
    client, server = up.pair(edge)
    seconds(client, b"x", server)
    for _ in range(2):
        assert edge.add(latency(60)) == latency(60)
        assert edge.toxics == (latency(60),)
    assert seconds(client, b"x", server) >= 0.055
    edge.add(latency(1, 1, toxicity=0.5))
    assert edge.toxics == (latency(1, 1, toxicity=0.5),)
    with pytest.raises(AlreadyExists):
        edge.add(slow_close(1, name="latency_downstream"))
    assert edge.remove("latency_downstream")
    assert not edge.remove("latency_downstream")
    assert not edge.remove("down")
    edge.cut()
    assert ending(client)[1] == ending(server)[1] == "FIN"
    assert edge.enabled
    assert not edge.toxics
    client, server = up.pair(edge)
    seconds(client, b"new", server)
    edge.add(timeout(stream="upstream"))
    edge.down()
    edge.down()
    assert ending(client) == (b"", "FIN")
    assert refused(edge)
    edge.heal()
    assert not edge.toxics
    client, server = up.pair(edge)
    seconds(server, b"healed", client)
    with upstream() as other:
        edge.redirect(other.address)
        fresh, there = other.pair(edge)
        seconds(there, b"moved", fresh)
    assert edge.address == f"127.0.0.1:{edge.port}"
    with pytest.raises(AlreadyExists):
        wire.edge("api->broker 1 ü?", up.address)
    edge.close()
    assert refused(edge)
    for name in ("a/b", ""):
        with pytest.raises(BadRequest, match="an edge's name"):
            wire.edge(name, up.address)


def test_every_wire_offers_the_same(driven: ToxiproxyWire, up: Upstream) -> None:
    any_edge_works(driven, up)


def test_the_built_in_wire_offers_the_same_directly(up: Upstream) -> None:
    with Wire() as wire:
        any_edge_works(wire, up)


@pytest.mark.parametrize("kind", sorted(name for name, kind in KINDS.items() if kind.wires == {"builtin"}))
def test_what_toxiproxy_cannot_do_is_refused_before_it_is_asked(driven: ToxiproxyWire, up: Upstream, kind: str) -> None:
    with pytest.raises(BadRequest, match="use the builtin wire"):
        driven.edge("e", up.address).add(Toxic(kind))


def test_every_toxic_of_both_wires_is_taken_and_given_back(driven: ToxiproxyWire, up: Upstream) -> None:
    edge = driven.edge("e", up.address)
    both = [Toxic(n, attributes=dict.fromkeys(k.attributes, 3)) for n, k in KINDS.items() if "toxiproxy" in k.wires]
    armed = [edge.add(toxic) for toxic in both if toxic.type != "down"]
    assert list(edge.toxics) == armed
    driven.reset()
    assert edge.toxics == ()


def test_what_changes_is_told(up: Upstream) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    with Wire() as wire:
        adapter = ToxiproxyWire("127.0.0.1", wire.serve_api(), on_event=lambda *event: told.append(event))
        edge = adapter.edge("e", up.address)
        for act in (lambda: edge.add(latency(3)), edge.down):
            act()
            act()
        edge.heal()
        edge.heal()
    kinds = [(kind, data["toxic"]) for kind, data in told]
    assert kinds == [
        ("toxic-added", "latency_downstream"),
        ("toxic-added", "down"),
        ("toxic-removed", "down"),
        ("toxic-removed", "latency_downstream"),
    ]
    assert told[0][1]["attributes"] == {"latency": 3, "jitter": 0}


def test_populate_is_one_call(driven: ToxiproxyWire, up: Upstream) -> None:
    edges = driven.populate({"a": up.address, "b": up.address})
    assert sorted(edges) == sorted(driven.edges) == ["a", "b"]
    for edge in edges.values():
        seconds(*reversed_pair(up, edge))
    with pytest.raises(BadRequest):
        driven.populate({"c": "nowhere"})


def reversed_pair(up: Upstream, edge: AnyEdge) -> tuple[socket.socket, bytes, socket.socket]:
    client, server = up.pair(edge)
    return client, b"there", server


def test_errors_are_ours(driven: ToxiproxyWire, up: Upstream) -> None:
    edge = driven.edge("e", up.address)
    with pytest.raises(NotFound, match=r"^toxic not found$"):
        driven.client.call("get", "proxies", "e", "toxics", "none")
    with pytest.raises(BadRequest, match=r"^invalid toxic type$"):
        driven.client.call("post", "proxies", "e", "toxics", body={"type": "none"})
    with pytest.raises(WireError, match="address already in use") as taken:
        driven.client.call("post", "proxies", body={"name": "f", "upstream": "h:1", "listen": edge.address})
    assert type(taken.value) is WireError
    edge.close()
    with pytest.raises(NotFound, match=r"^proxy not found$"):
        edge.add(latency(1))
    edge.close()


def test_a_server_that_does_not_answer_is_given_up(up: Upstream) -> None:
    hung = ToxiproxyWire("127.0.0.1", up.listener.getsockname()[1], deadline=0.2)
    with measured() as span, pytest.raises(Unreachable, match="no answer from Toxiproxy"):
        hung.version()
    assert span.wall >= 0.2
    assert span.least < 5, "its own deadline, not the one that is usual"
    with upstream() as gone:
        port = gone.listener.getsockname()[1]
    with pytest.raises(Unreachable):
        ToxiproxyWire("127.0.0.1", port).version()


def test_no_server_on_path_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unreachable, match="no toxiproxy-server on PATH"):
        toxiproxy_server.started(tmp_path / "log")


def test_a_server_that_ends_at_once_is_said_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "toxiproxy-server"
    broken.write_text("#!/bin/sh\necho out of luck\nexec sleep 60\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("brownout.subject.servers.toxiproxy_server.START_WITHIN", 0.3)
    launch = Process.launch

    def launched(*args: Any, **options: Any) -> Process:
        process = launch(*args, **options)
        eventually(lambda: "luck" in process.tail(), within=PATIENCE, what="the server logs", evidence=process.tail)
        return process

    monkeypatch.setattr(Process, "launch", launched)
    with pytest.raises(Unreachable, match="out of luck"):
        toxiproxy_server.started(tmp_path / "log")


def test_an_http_proxy_in_the_environment_is_not_asked(up: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", up.address)  # which would not answer
    with Wire() as wire:
        assert ToxiproxyWire("127.0.0.1", wire.serve_api()).version()


def test_two_servers_do_not_mix(up: Upstream) -> None:
    with Wire() as one, Wire() as two:
        a, b = (ToxiproxyWire("127.0.0.1", wire.serve_api()) for wire in (one, two))
        on_a, on_b = a.edge("e", up.address), b.edge("e", up.address)
        on_a.add(limit_data(5))
        assert (len(on_a.toxics), len(on_b.toxics)) == (1, 0)
        assert [toxic.type for toxic in one.edges["e"].toxics] == ["limit_data"]


def test_ports_of_a_container_are_taken_from_those_published(up: Upstream) -> None:
    wire = ToxiproxyWire("127.0.0.1", 1, published={9001: 32001})
    assert wire._wanted("e", up.address)["listen"] == "0.0.0.0:9001"
    assert wire._made({"name": "e", "listen": "[::]:9001"}).port == 32001
    with pytest.raises(WireError, match="no published port"):
        wire._wanted("f", up.address)


def test_toxiproxy_pythons_own_objects_drive_the_built_in_wire(up: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    from toxiproxy import Toxiproxy
    from toxiproxy.api import APIConsumer
    from toxiproxy.exceptions import InvalidToxic, ProxyExists

    with Wire() as wire:
        monkeypatch.setattr(APIConsumer, "host", "127.0.0.1")
        monkeypatch.setattr(APIConsumer, "port", wire.serve_api())
        server = Toxiproxy()
        assert server.running()
        assert server.version() == b'{"version": "2.12.0"}\n'
        proxy = server.create(up.address, "broker")
        with pytest.raises(ProxyExists):
            server.create(up.address, "broker")
        edge = wire.edges["broker"]
        assert proxy.listen == edge.address
        client, peer = up.pair(edge)
        proxy.add_toxic(type="timeout", attributes={"timeout": 0})
        peer.sendall(b"lost")
        assert silent(client)
        assert list(proxy.toxics()) == ["timeout_downstream"]
        with pytest.raises(InvalidToxic):
            proxy.add_toxic(type="blackhole")
        assert proxy.destroy_toxic("timeout_downstream")
        with proxy.down():
            assert refused(edge)
        assert server.reset()
        (made,) = server.populate([{"name": "store", "upstream": up.address}])
        assert sorted(server.proxies()) == ["broker", "store"]
        made.destroy()
        server.destroy_all()
        assert wire.edges == {}


def test_a_toxic_of_the_wires_own_is_seen_but_not_made_through_the_api(up: Upstream) -> None:
    with Wire() as wire:
        edge = wire.edge("e", up.address)
        edge.add(blackhole())
        adapter = ToxiproxyWire("127.0.0.1", wire.serve_api())
        shown = adapter.client.call("get", "proxies", "e")["toxics"]
        assert [toxic["type"] for toxic in shown] == ["blackhole"]
