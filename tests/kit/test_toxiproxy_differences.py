"""The documented differences that no other test shows. docs/toxiproxy.md lists all of them."""

import ast
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brownout.subject.waiting import eventually
from tests.kit.test_toxiproxy_http import DIFFERENT
from tests.kit.toxiproxy_exceptions import EXCEPTIONS
from tests.kit.toxiproxy_servers import Api, official
from tests.kit.wire_peers import PATIENCE, Upstream, exactly, silent, upstream

TESTS = Path(__file__).parent
DOCUMENT = TESTS.parents[1] / "docs/toxiproxy.md"
TOXICS = "/proxies/p/toxics"


@pytest.fixture
def up() -> Iterator[Upstream]:
    with upstream() as up:
        yield up


class Proxy:
    """p on one server, with one toxic `t`."""

    def __init__(self, api: Api, up: Upstream, type: str, **attributes: int) -> None:
        self.api, self.port = api, api.ports[0]
        api.clear()
        self.ask("/proxies", {"name": "p", "listen": "127.0.0.1:@0", "upstream": up.address}, 201)
        self.ask(TOXICS, {"name": "t", "type": type, "attributes": attributes})

    def ask(self, path: str, body: Any, status: int = 200) -> None:
        assert self.api.ask("POST", path, json.dumps(body).encode()).status == status


def test_every_difference_is_documented_and_shown() -> None:
    documented = set(re.findall(r"^\| `([\w-]+)` \|", DOCUMENT.read_text(), re.MULTILINE))
    shown: set[str] = set()
    for path in TESTS.glob("test_toxiproxy_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                shown.update(re.findall(r"`([\w-]+)`", ast.get_docstring(node) or ""))
    assert not documented - shown - DIFFERENT.keys()
    assert EXCEPTIONS.keys() | DIFFERENT.keys() <= documented


def test_a_proxy_without_a_logger(pair: tuple[Api, Api], up: Upstream) -> None:
    """`logger`."""
    for api, has in zip(pair, (True, False), strict=True):
        Proxy(api, up, "noop")
        assert ("Logger" in api.ask("GET", "/proxies/p").data) is has


def test_a_body_that_cannot_be_decoded(pair: tuple[Api, Api]) -> None:
    """`words`: the first ones are the server's."""
    theirs, ours = (api.ask("POST", "/proxies", b'{"name":1}') for api in pair)
    says = "bad request body: json: cannot unmarshal number into "
    assert theirs.status == ours.status == 400
    assert theirs.data["error"] == f"{says}Go struct field Proxy.name of type string"
    assert ours.data["error"] == f"{says}field name"


@pytest.mark.parametrize("listen", ["", ":0", ":"])
def test_no_host_is_the_loopback(pair: tuple[Api, Api], listen: str) -> None:
    """`any`: the server is not asked, since it would listen beyond the loopback."""
    pair[1].clear()
    made = pair[1].ask("POST", "/proxies", json.dumps({"name": "p", "upstream": "u:1", "listen": listen}).encode())
    assert (made.status, made.data["listen"]) == (201, "127.0.0.1:@any")
    pair[1].clear()


def test_no_name_server_is_asked(pair: tuple[Api, Api], monkeypatch: pytest.MonkeyPatch) -> None:
    """`names`: the server is not asked, since it would ask one."""
    pair[1].clear()
    looked_up: list[object] = []
    for function in ("getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, function, lambda *asked, **_: looked_up.append(asked))
    answer = pair[1].ask("POST", "/proxies", b'{"name":"p","upstream":"u:1","listen":"name.invalid:0"}')
    assert (answer.status, answer.data["error"]) == (500, "listen tcp: lookup name.invalid: no such host")
    assert not looked_up


def test_a_reset_goes_in_the_order_of_creation(pair: tuple[Api, Api]) -> None:
    """`order`: on the server the second proxy fails too, and which of the others are reset is chance."""
    for api in pair:
        api.clear()
        for name, port in (("z", "@1"), ("p", "@0"), ("a", "0")):
            body = {"name": name, "upstream": "u:1", "listen": f"127.0.0.1:{port}", "enabled": False}
            assert api.ask("POST", "/proxies", json.dumps(body).encode()).status == 201
            assert api.ask("POST", f"/proxies/{name}/toxics", b'{"type":"noop"}').status == 200
        with socket.create_server(("127.0.0.1", api.ports[0])):
            assert api.ask("POST", "/reset").status == 500
        after = {
            name: (proxy["enabled"], len(proxy["toxics"])) for name, proxy in api.ask("GET", "/proxies").data.items()
        }
        assert after["p"] == (False, 1)
    assert after == {"z": (True, 0), "p": (False, 1), "a": (False, 1)}


def test_a_refused_change_of_a_toxic_changes_nothing(pair: tuple[Api, Api], up: Upstream) -> None:
    """`half-done`: the server keeps the attributes that came before the bad one."""
    after = []
    for api in pair:
        Proxy(api, up, "latency")
        bad = b'{"attributes":{"latency":77,"jitter":"x"}}'
        assert api.ask("PATCH", f"{TOXICS}/t", bad).status == 400
        after.append(api.ask("GET", f"{TOXICS}/t").data["attributes"]["latency"])
    assert after == [77, 0]


def test_a_key_given_twice_with_null(pair: tuple[Api, Api], up: Upstream) -> None:
    """`twice`."""
    body = b'{"type":"latency","name":"u","attributes":null,"attributes":{"latency":5}}'
    for api, status in zip(pair, (400, 200), strict=True):
        Proxy(api, up, "noop")
        assert api.ask("POST", TOXICS, body).status == status


def test_a_change_to_the_same_values_does_nothing(pair: tuple[Api, Api], up: Upstream) -> None:
    """`same`: on the server the toxic starts anew, and lets go of what it holds."""
    for api in pair:
        proxy = Proxy(api, up, "latency", latency=60_000)
        client, server = up.pair(proxy)
        server.sendall(b"held")
        assert silent(client)
        proxy.ask(f"{TOXICS}/t", {})
        if api.name == "builtin":
            assert silent(client)
        else:
            assert exactly(client, 4) == b"held"


def test_a_delay_above_292_years_is_long(pair: tuple[Api, Api], up: Upstream) -> None:
    """`range`: on the server it is none."""
    for api in pair:
        client, server = up.pair(Proxy(api, up, "latency", latency=2**63 - 1))
        server.sendall(b"late")
        if api.name == "builtin":
            assert silent(client)
        else:
            assert exactly(client, 4) == b"late"


def test_a_negative_rate_ends_the_server(pair: tuple[Api, Api], up: Upstream, tmp_path: Path) -> None:
    """`crash`: the built-in wire takes it as 0; test_toxiproxy_values.py has all other kinds."""
    client, server = up.pair(Proxy(pair[1], up, "bandwidth", rate=-1))
    server.sendall(b"held")
    assert silent(client)

    def gone() -> bool:
        try:
            api.clear()
        except OSError:
            return True
        return False

    with official(tmp_path) as port:
        api = Api("official", port)
        _, server = up.pair(Proxy(api, up, "bandwidth", rate=-1))
        server.sendall(b"the last")
        eventually(gone, within=PATIENCE, what="the server is gone")
        api.close()


def test_http_1_0_is_not_kept(pair: tuple[Api, Api]) -> None:
    """`keep-alive`."""
    first = b"GET /version HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"
    last = b"GET /version HTTP/1.0\r\nHost: localhost\r\n\r\n"
    assert [len(api.raw(first + last)) for api in pair] == [2, 1]
