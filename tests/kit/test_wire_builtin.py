"""The built-in wire on real sockets: what passes, what ends, and what only it can do."""

import errno
import gc
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from brownout.subject.waiting import eventually
from brownout.wire import (
    KINDS,
    AlreadyExists,
    BadRequest,
    Edge,
    Toxic,
    Wire,
    WireError,
    bandwidth,
    blackhole,
    half_open,
    latency,
    limit_data,
    rst,
    slicer,
    slow_close,
    spike,
    swallow,
    timeout,
)
from brownout.wire.tcp.link import CHUNK
from tests.kit.wire_peers import PATIENCE, Upstream, ending, exactly, refused, seconds, silent, upstream
from tests.measured import measured


@pytest.fixture
def events() -> list[tuple[str, dict[str, Any]]]:
    return []


@pytest.fixture
def up() -> Iterator[Upstream]:
    with upstream() as up:
        yield up


@pytest.fixture(params=["asyncio", "uvloop"])
def wire(request: pytest.FixtureRequest, events: list[tuple[str, dict[str, Any]]]) -> Iterator[Wire]:
    with Wire(seed=7, on_event=lambda kind, data: events.append((kind, data)), loop=request.param) as wire:
        yield wire


@pytest.fixture
def edge(wire: Wire, up: Upstream) -> Edge:
    return wire.edge("api->broker", up.address)


def whole(kind: str) -> Toxic:
    """A toxic of that kind, short in every attribute."""
    return Toxic(kind, attributes={k: 20 if k == "latency" else 1 for k in KINDS[kind].attributes})


# --- what passes


def test_bytes_pass_unchanged_both_ways_at_once(edge: Edge, up: Upstream) -> None:
    client, server = up.pair(edge)
    data = bytes(range(256)) * 8000
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    seconds(client, data[::-1][:50_000], server)
    assert exactly(server, len(data)) == data
    sender.join()


@pytest.mark.parametrize("wire", ["asyncio"], indirect=True)
def test_no_read_asks_for_more_memory_than_a_heap_gives_at_once(edge: Edge, up: Upstream) -> None:
    """What is larger, the C library may fetch from the kernel and give back for every chunk, however short.

    uvloop reads into one buffer of its own, for ever.
    """
    client, server = up.pair(edge)
    sizes: list[int] = []
    edge.tap(lambda _number, _stream, data: sizes.append(len(data)))
    sender = threading.Thread(target=client.sendall, args=(bytes(2_000_000),))
    sender.start()
    exactly(server, 2_000_000)
    sender.join()
    assert max(sizes) <= CHUNK < 128 << 10
    assert sum(sizes) == 2_000_000


def test_a_slow_reader_makes_the_sender_wait_and_loses_nothing(edge: Edge, up: Upstream) -> None:
    client, server = up.pair(edge)
    block, sent = bytes(range(256)) * 1024, 0
    client.settimeout(0.5)
    try:
        while sent < 400 << 20:
            sent += client.send(block[sent % 256 :])
    except TimeoutError:
        pass
    assert sent < 60 << 20, "nothing held the sender back"
    client.shutdown(socket.SHUT_WR)
    expected = bytes(range(256)) * (sent // 256 + 1)
    assert ending(server) == (expected[:sent], "FIN")


def test_a_slow_reader_makes_the_sender_wait_behind_a_toxic_too(edge: Edge, up: Upstream) -> None:
    client, server = up.pair(edge)
    edge.add(blackhole(stream="upstream"))
    client.settimeout(0.5)
    sent = 0
    try:
        while sent < 400 << 20:
            sent += client.send(b"x" * 65536)
    except TimeoutError:
        pass
    assert sent < 60 << 20, "nothing held the sender back"
    edge.heal()
    assert exactly(server, sent) == b"x" * sent


def test_a_half_close_is_carried_through_either_way(edge: Edge, up: Upstream) -> None:
    for one, other in (up.pair(edge), up.pair(edge)[::-1]):
        one.sendall(b"last words")
        one.shutdown(socket.SHUT_WR)
        assert ending(other) == (b"last words", "FIN")
        seconds(one, b"the answer", other)
        other.close()
        assert ending(one) == (b"", "FIN")
    eventually(lambda: edge.counters.closed == 2, within=PATIENCE, what="both connections are gone")


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_reset_is_carried_through(edge: Edge, up: Upstream, side: str) -> None:
    client, server = up.pair(edge)
    assert edge.counters.connected == 1
    one, other = (client, server) if side == "client" else (server, client)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    one.close()
    assert ending(other)[1] == "RST"
    assert edge.counters.reset == 1


def test_a_reset_after_a_half_close_is_carried_through(edge: Edge, up: Upstream) -> None:
    client, server = up.pair(edge)
    server.shutdown(socket.SHUT_WR)
    assert ending(client) == (b"", "FIN")
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    server.close()

    def noticed() -> bool:
        try:
            client.sendall(b"x")
        except (ConnectionResetError, BrokenPipeError):
            return True
        return False

    eventually(noticed, within=PATIENCE, what="the client is told that nobody reads any more")
    eventually(lambda: edge.counters.closed == 1, within=PATIENCE, what="the connection is gone")


@pytest.mark.parametrize("armed", [None, latency(60_000, toxicity=0)], ids=["unarmed", "spared"])
def test_nagle_is_off(edge: Edge, up: Upstream, armed: Toxic | None) -> None:
    if armed:
        edge.add(armed)
    up.pair(edge)
    assert edge.counters.connected == 1
    (link,) = edge._links
    for side in (link.client, link.server):
        assert side.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# --- dials


def test_a_refusing_upstream_resets_the_client(
    wire: Wire, events: list[tuple[str, dict[str, Any]]], up: Upstream
) -> None:
    with upstream() as gone:
        edge = wire.edge("e", gone.address)
    try:
        end = ending(up.connect(edge))
    except ConnectionResetError:
        end = (b"", "RST")
    assert end == (b"", "RST")
    eventually(lambda: edge.counters.refused == 1, within=PATIENCE, what="it is counted")
    assert events[-1][0] == "refused"
    assert f"[Errno {errno.ECONNREFUSED}]" in events[-1][1]["error"]


def test_new_connections_follow_a_redirect_and_old_ones_stay(edge: Edge, up: Upstream) -> None:
    client, server = up.pair(edge)
    with upstream() as other:
        port = edge.port
        edge.redirect(other.address)
        seconds(client, b"still here", server)
        fresh, there = other.pair(edge)
        seconds(there, b"moved", fresh)
        assert edge.port == port
    with pytest.raises(BadRequest):
        edge.redirect("nonsense")


@pytest.fixture
def stuck() -> Iterator[socket.socket]:
    """A listener whose queue is full: connecting to it takes until somebody is accepted."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers: list[socket.socket] = []
        try:
            while True:
                filler = socket.socket()
                fillers.append(filler)
                filler.settimeout(0.2)
                filler.connect(listener.getsockname())
        except TimeoutError:
            pass
        fillers.pop().close()  # the one that was left waiting
        for filler in fillers:
            filler.close()
        yield listener


def accepted(listener: socket.socket, within: float, until: bytes = b"") -> list[bytes]:
    """What everybody says who comes, until none came for so many seconds or one said the right thing."""
    said: list[bytes] = []
    listener.settimeout(within)
    try:
        while until not in said:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(1)
                try:
                    said.append(sock.recv(100))
                except TimeoutError:
                    said.append(b"(nothing)")
    except TimeoutError:
        pass
    return said


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_a_dial_is_given_up_when_the_client_leaves(wire: Wire, stuck: socket.socket, how: str) -> None:
    edge = wire.edge("e", f"127.0.0.1:{stuck.getsockname()[1]}")
    with socket.create_connection(("127.0.0.1", edge.port)) as client:
        client.sendall(b"BRPOP celery 0")
        if how == "RST":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    eventually(lambda: edge.counters.abandoned == 1, within=PATIENCE, what="the dial is given up")
    assert b"BRPOP celery 0" not in accepted(stuck, 1.5)  # a SYN is sent again after 1 s
    assert edge.counters.connected == 0


def test_what_a_waiting_client_says_during_a_long_dial_arrives(wire: Wire, stuck: socket.socket) -> None:
    edge = wire.edge("e", f"127.0.0.1:{stuck.getsockname()[1]}")
    with socket.create_connection(("127.0.0.1", edge.port)) as client:
        client.sendall(b"BRPOP celery 0")
        eventually(lambda: len(edge._acceptor.dials) == 1, within=PATIENCE, what="it is being dialled")
        assert b"BRPOP celery 0" in accepted(stuck, PATIENCE, until=b"BRPOP celery 0")


def test_down_during_a_dial_leaves_nobody_behind(wire: Wire, stuck: socket.socket) -> None:
    edge = wire.edge("e", f"127.0.0.1:{stuck.getsockname()[1]}")
    with socket.create_connection(("127.0.0.1", edge.port), timeout=PATIENCE) as client:
        eventually(lambda: len(edge._acceptor.dials) == 1, within=PATIENCE, what="it is being dialled")
        edge.down()
        assert ending(client)[1] in ("FIN", "RST")
    assert edge.counters.connected == 0


def test_down_before_a_dial_has_begun_closes_the_client(wire: Wire, edge: Edge, up: Upstream) -> None:
    def at_once() -> socket.socket:
        client = up.connect(edge)
        edge._acceptor.accept()
        assert len(edge._acceptor.dials) == 1
        edge.listen(False)
        return client

    client = wire.run(at_once)
    assert ending(client) == (b"", "FIN")
    eventually(lambda: not edge._acceptor.dials, within=PATIENCE, what="the dial is forgotten")
    gc.collect()  # a socket that nobody had closed would be a warning, and so an error


# --- what ends, by ourselves


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "busy"])
def test_rst_resets_live_connections_by_errno(edge: Edge, up: Upstream, idle: bool) -> None:
    client, server = up.pair(edge)
    if not idle:
        seconds(client, b"x", server)
    assert edge.reset() == 1
    assert ending(client) == ending(server) == (b"", "RST")
    fresh, there = up.pair(edge)
    seconds(fresh, b"new ones work", there)


def test_rst_as_a_toxic_resets_old_and_new(edge: Edge, up: Upstream) -> None:
    old = up.pair(edge)
    edge.add(rst())
    assert [ending(sock) for sock in old] == [(b"", "RST")] * 2
    try:
        new = ending(up.pair(edge)[0])
    except ConnectionResetError:  # before connect() had looked
        new = b"", "RST"
    assert new == (b"", "RST")
    eventually(lambda: edge.counters.acted("rst").closed == 2, within=PATIENCE, what="both have been counted")


def test_down_refuses_and_up_has_the_same_port(edge: Edge, up: Upstream) -> None:
    client, server = up.pair(edge)
    port = edge.port
    edge.down()
    edge.down()
    assert ending(client) == ending(server) == (b"", "FIN")
    assert refused(edge)
    edge.up()
    edge.up()
    assert edge.port == port
    client, server = up.pair(edge)
    seconds(client, b"again", server)
    assert edge.counters.acted("down").connections == 1


def test_nobody_can_take_the_port_of_an_edge_that_is_down(edge: Edge) -> None:
    edge.down()
    with socket.socket() as thief, pytest.raises(OSError, match="in use"):
        thief.bind(("127.0.0.1", edge.port))


def test_an_edge_whose_port_was_taken_says_so_and_can_be_tried_again(
    wire: Wire, edge: Edge, up: Upstream, events: list[tuple[str, dict[str, Any]]]
) -> None:
    edge.down()
    edge.add(latency(60_000))
    with socket.create_server(("127.0.0.1", edge.port)):
        for listen in (edge.up, edge.up, edge.heal):
            with pytest.raises(WireError, match=f"listen tcp {edge.address}: bind: address already in use"):
                listen()
            assert not edge.enabled
        assert not edge.toxics
        assert ("toxic-removed", {"edge": edge.name, "toxic": "down"}) not in events
    assert refused(edge)
    edge.up()
    client, server = up.pair(edge)
    seconds(client, b"again", server)
    assert ("toxic-removed", {"edge": edge.name, "toxic": "down"}) in events


def test_a_wire_whose_edge_could_not_listen_again_closes(wire: Wire, edge: Edge, up: Upstream) -> None:
    other = wire.edge("other", up.address)
    client, _ = up.pair(other)
    edge.down()
    with socket.create_server(("127.0.0.1", edge.port)), pytest.raises(WireError):
        edge.up()
    thread = wire._thread
    wire.close()
    assert thread
    assert not thread.is_alive()
    assert ending(client) == (b"", "FIN")


def test_a_wire_ends_its_thread_also_when_an_edge_cannot_be_closed(
    wire: Wire, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, dispose = wire._thread, edge.dispose

    def fails() -> None:
        dispose()
        raise ZeroDivisionError

    monkeypatch.setattr(edge, "dispose", fails)
    with pytest.raises(ZeroDivisionError):
        wire.close()
    assert thread
    assert not thread.is_alive()
    wire.close()


# --- silence


@pytest.mark.parametrize("make", [blackhole, lambda: blackhole(stream="downstream")], ids=["both", "downstream"])
def test_a_black_hole_heals_on_the_same_connection(edge: Edge, up: Upstream, make: Any) -> None:
    client, server = up.pair(edge)
    edge.add(make())
    server.sendall(b"held ")
    server.sendall(b"in order")
    assert silent(client)
    edge.heal()
    assert exactly(client, 13) == b"held in order"
    seconds(server, b"and it goes on", client)


def test_a_black_hole_holds_an_end_too(edge: Edge, up: Upstream) -> None:
    client, server = up.pair(edge)
    edge.add(blackhole())
    server.sendall(b"bye")
    server.close()
    assert silent(client)
    edge.heal()
    assert ending(client) == (b"bye", "FIN")


def test_swallowed_bytes_are_gone_and_the_connection_goes_on(edge: Edge, up: Upstream) -> None:
    client, server = up.pair(edge)
    edge.add(swallow())
    server.sendall(b"gone")
    assert silent(client)
    edge.heal()
    seconds(client, b"after", server)
    assert edge.counters.acted("swallow").dropped == 4


def test_half_open_is_for_those_that_exist(edge: Edge, up: Upstream) -> None:
    client, server = up.pair(edge)
    edge.add(half_open())
    client.sendall(b"anybody there?")
    assert silent(server)
    fresh, there = up.pair(edge)
    seconds(there, b"new ones work", fresh)
    edge.heal()
    assert ending(client) == ending(server) == (b"", "RST")
    seconds(there, b"still", fresh)


# --- draws


def test_no_delay_is_shorter_than_it_says(edge: Edge, up: Upstream) -> None:
    """At whatever part of a millisecond it begins: uvloop's own clock and timers know only whole ones."""
    client, server = up.pair(edge)
    edge.add(latency(2))
    took = []
    for phase in range(50):
        while time.monotonic() % 0.001 < 20e-6 * phase:
            pass
        took.append(seconds(client, b"x", server))
    assert min(took) >= 0.002
    assert edge.counters.acted("latency_downstream").shaped == 50


def test_one_spike_on_a_constant_latency(edge: Edge, up: Upstream) -> None:
    client, server = up.pair(edge)
    edge.add(spike(20, 300, nth=2))
    spans = []
    for _ in range(3):
        with measured() as span:
            seconds(client, b"x", server)
        spans.append(span)
    assert min(span.wall for span in spans) >= 0.019
    assert spans[1].wall >= 0.315
    assert max(spans[0].least, spans[2].least) < 0.315


def test_the_seed_decides_whom_a_toxic_hits(up: Upstream) -> None:
    def hit(seed: int) -> list[bool]:
        with Wire(seed=seed) as wire:
            edge = wire.edge("e", up.address)
            edge.add(limit_data(0, toxicity=0.5))
            hits = []
            for _ in range(12):
                client, server = up.pair(edge)
                server.sendall(b"x")
                hits.append(ending_or_byte(client))
            return hits

    first = hit(1)
    assert first == hit(1)
    assert first != hit(2)
    assert 0 < sum(first) < 12


def ending_or_byte(sock: socket.socket) -> bool:
    return sock.recv(1) == b""


# --- the laws, over the registry


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"down"}))
def test_arming_and_healing_are_idempotent_and_said(
    edge: Edge, up: Upstream, events: list[tuple[str, dict[str, Any]]], kind: str
) -> None:
    toxic = whole(kind)
    for _ in range(2):
        assert edge.add(toxic) == toxic
        assert edge.toxics == (toxic,)
    assert edge.remove(toxic.name)
    assert not edge.remove(toxic.name)
    assert edge.toxics == ()
    said = [(what, data["toxic"]) for what, data in events if what.startswith("toxic-")]
    assert said == [("toxic-added", toxic.name), ("toxic-removed", toxic.name)]
    client, server = up.pair(edge)
    seconds(client, b"healed", server)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"down", "noop"}))
def test_an_acting_toxic_is_seen_to_act(
    edge: Edge, up: Upstream, events: list[tuple[str, dict[str, Any]]], kind: str
) -> None:
    client, server = up.pair(edge)
    toxic = edge.add(whole(kind))
    if kind != "rst":  # which needs no traffic, and may come too late for a connection that the server has ended
        server.sendall(b"answer")
        client.sendall(b"question")
        server.close()

    def acted() -> bool:
        seen = edge.counters.acted(toxic.name)
        return seen.connections == 1 and seen.shaped + seen.dropped + seen.closed > 0

    eventually(acted, within=PATIENCE, what=f"{kind} acts", evidence=lambda: str(edge.counters))
    told = [data for what, data in events if what == "toxic-acted"]
    assert [(one["edge"], one["toxic"], one["connection"]) for one in told] == [("api->broker", toxic.name, 1)]


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"noop"}))
def test_a_toxic_that_spares_a_connection_does_not_count(edge: Edge, up: Upstream, kind: str) -> None:
    if kind != "down":
        edge.add(Toxic(kind, toxicity=0.0))
    client, server = up.pair(edge)
    seconds(client, b"as ever", server)
    assert edge.counters.acted(f"{kind}_downstream").connections == 0
    assert not any(acted.connections for _, acted in edge.counters.toxics)


def test_counters_outlive_the_heal_and_go_on(edge: Edge, up: Upstream) -> None:
    client, server = up.pair(edge)
    for expected in (3, 6):
        edge.add(latency(5))
        seconds(client, b"abc", server)
        edge.heal()
        assert edge.counters.acted("latency_downstream").shaped == expected
    assert edge.counters.acted("latency_downstream").dropped == 0


def test_toxics_chain_in_the_order_of_adding(edge: Edge, up: Upstream) -> None:
    client, server = up.pair(edge)
    for toxic in (latency(40), slicer(3), latency(40, name="more"), bandwidth(1000), limit_data(50)):
        edge.add(toxic)
    assert seconds(client, b"x" * 49, server) >= 0.078
    edge.remove("slicer_downstream")
    edge.remove("latency_downstream")
    server.sendall(b"yz")
    assert ending(client) == (b"y", "FIN")


def test_an_ended_stream_stays_ended_when_the_toxic_that_ended_it_goes(edge: Edge, up: Upstream) -> None:
    client, server = up.pair(edge)
    edge.add(limit_data(3))
    edge.add(slow_close(60_000))
    server.sendall(b"abcdef")
    assert exactly(client, 3) == b"abc"
    server.sendall(b"more")
    assert silent(client)
    assert edge.counters.acted("limit_data_downstream").closed == 1
    edge.remove("limit_data_downstream")
    server.sendall(b"too late")
    assert silent(client)
    edge.heal()
    assert ending(client) == (b"", "FIN")


def test_adding_again_updates_only_what_may_change(edge: Edge) -> None:
    edge.add(latency(5, name="t"))
    edge.add(latency(6, name="t"))
    assert edge.toxics == (latency(6, name="t"),)
    with pytest.raises(AlreadyExists):
        edge.add(timeout(name="t"))


# --- the facade


def test_a_tap_sees_every_chunk_and_costs_nothing_when_off(edge: Edge, up: Upstream) -> None:
    client, server = up.pair(edge)
    seen: list[tuple[int, str, bytes]] = []
    edge.tap(lambda *chunk: seen.append(chunk))
    seconds(server, b"question", client)
    seconds(client, b"answer", server)
    edge.tap(None)
    seconds(server, b"more", client)
    assert seen == [(1, "upstream", b"question"), (1, "downstream", b"answer")]
    (link,) = edge._links
    assert link.client.data_received == link.server.transport.write


def test_what_happens_is_told_in_order(edge: Edge, up: Upstream, events: list[tuple[str, dict[str, Any]]]) -> None:
    up.pair(edge)
    edge.add(rst())
    edge.heal()
    eventually(lambda: edge.counters.closed == 1, within=PATIENCE, what="it is closed")
    kinds = [kind for kind, _ in events]
    assert kinds == ["connected", "toxic-added", "toxic-acted", "reset", "closed", "toxic-removed"]
    assert all(data["edge"] == "api->broker" for _, data in events)


def test_a_callback_may_use_the_wire_and_its_error_comes_out_at_the_end(up: Upstream) -> None:
    def on_event(kind: str, data: dict[str, Any]) -> None:
        if kind == "connected":
            mine.edges[data["edge"]].add(limit_data(3))
        if kind == "toxic-acted":
            raise ZeroDivisionError

    mine = Wire(on_event=on_event).start()
    client, server = up.pair(mine.edge("e", up.address))
    server.sendall(b"12345")
    assert ending(client) == (b"123", "FIN")
    with pytest.raises(WireError) as failed:
        mine.close()
    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    mine.close()


def test_an_error_that_nobody_caught_on_the_loop_comes_out_at_the_end() -> None:
    """A director that breaks, for instance: what was seen of the wire may be wrong then."""
    mine = Wire().start()
    mine.ask(lambda: mine.loop.call_soon(lambda: 1 / 0))
    mine.ask(lambda: None)
    with pytest.raises(WireError, match="the wire failed: ZeroDivisionError") as failed:
        mine.close()
    assert isinstance(failed.value.__cause__, ZeroDivisionError)


def test_misuse_is_refused(wire: Wire, edge: Edge, up: Upstream) -> None:
    with pytest.raises(AlreadyExists):
        wire.edge("api->broker", up.address)
    with pytest.raises(BadRequest):
        wire.edge("other", "nowhere")
    with pytest.raises(WireError, match="not started"):
        Wire().edge("e", up.address)
    edge.close()
    wire.edge("api->broker", up.address)


def test_close_leaves_no_thread_port_or_connection(up: Upstream) -> None:
    before, threads = psutil.Process().num_fds(), set(threading.enumerate())  # other tests may share subjects
    wire = Wire().start()
    edge = wire.edge("e", up.address)
    client, server = up.pair(edge)
    edge.add(latency(60_000))
    server.sendall(b"held")
    assert silent(client)
    port, api = edge.port, wire.serve_api()
    wire.close()
    wire.close()
    assert ending(client) == (b"", "FIN")
    assert not {thread for thread in threading.enumerate() if thread.name == "brownout-wire"} - threads
    for number in (port, api):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", number))
    for sock in (client, server):
        sock.close()
    assert psutil.Process().num_fds() == before


def test_many_connections_come_and_go(edge: Edge, up: Upstream) -> None:
    pairs = [up.pair(edge) for _ in range(100)]
    edge.add(latency(1))
    for client, server in pairs:
        server.sendall(b"x")
        assert exactly(client, 1) == b"x"
    edge.down()
    assert [ending(client) for client, _ in pairs] == [(b"", "FIN")] * 100
    counters = edge.counters
    assert (counters.connected, counters.closed) == (100, 100)
    assert counters.acted("latency_downstream").connections == 100
