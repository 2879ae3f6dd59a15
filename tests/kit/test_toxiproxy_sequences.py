"""Sequences of requests that once were answered in another way than by toxiproxy-server."""

import json
from typing import Any

import pytest

from tests.kit.toxiproxy_exceptions import alike
from tests.kit.toxiproxy_servers import Api

Step = tuple[str, str, Any, int]  # method, path, body, status
P = "/proxies/p"
TOXICS = f"{P}/toxics"


def proxy(**fields: Any) -> Step:
    """Create p, on a port of its own unless `fields` say otherwise."""
    return ("POST", "/proxies", {"name": "p", "listen": "127.0.0.1:@0", "upstream": "127.0.0.1:1", **fields}, 201)


def toxic(status: int = 200, **fields: Any) -> Step:
    return ("POST", TOXICS, {"type": "latency", **fields}, status)


def again(status: int, *others: dict[str, Any], **fields: Any) -> Step:
    """Populate p."""
    return ("POST", "/populate", [*others, {"name": "p", "upstream": "127.0.0.1:1", **fields}], status)


SHOW, REMOVE = ("GET", P, None, 200), ("DELETE", P, None, 204)
ENABLE, DISABLE = ("PATCH", P, {"enabled": True}, 200), ("PATCH", P, {"Enabled": False}, 200)
OTHER = proxy(name="r")  # has p's port
MOVED = {"name": "r", "listen": "127.0.0.1:@1", "upstream": "127.0.0.1:1"}

CASES: dict[str, list[Step]] = {
    "PascalCase": [
        ("POST", "/proxies", {"Name": "p", "Listen": "127.0.0.1:@0", "Upstream": "h:1", "Enabled": True}, 201),
        DISABLE,
        ("POST", TOXICS, {"Type": "latency", "Stream": "upstream", "Attributes": {"Latency": 1000, "JITTER": 5}}, 200),
        ("PATCH", f"{TOXICS}/latency_upstream", {"Toxicity": 0.5, "ATTRIBUTES": {"jitteR": 7}}, 200),
        SHOW,
    ],
    "a failed enable": [
        proxy(enabled=False),
        toxic(),
        OTHER,
        ("PATCH", P, {"enabled": True}, 500),
        SHOW,
        ("PATCH", P, {"enabled": True}, 500),
        ("POST", "/reset", None, 500),
        SHOW,
        ("DELETE", "/proxies/r", None, 204),
        ENABLE,
        ("POST", "/reset", None, 204),
        REMOVE,
    ],
    "a failed enable, and then it is deleted": [
        proxy(enabled=False),
        OTHER,
        ("PATCH", P, {"enabled": True}, 500),
        REMOVE,
        ("GET", "/proxies", None, 200),
    ],
    "disabled, an address is as it was given": [
        proxy(listen="localhost:@0", enabled=False),
        ("PATCH", P, {}, 200),
        toxic(),
        again(201, listen="localhost:@0", enabled=False),
        ENABLE,
        DISABLE,
        toxic(),
        again(201, listen="localhost:@0"),
        again(201, listen="127.0.0.1:@0"),
    ],
    "disabled, any port": [
        proxy(listen=":0", enabled=False),
        toxic(),
        again(201, listen=":0", enabled=False),
        again(201, listen=":", enabled=False),
        SHOW,  # not enabled: the server would listen beyond the loopback
    ],
    "disabled, on a busy port": [OTHER, proxy(enabled=False), SHOW, (*proxy(enabled=False)[:3], 409)],
    "disabled, another takes the port": [proxy(), DISABLE, OTHER, SHOW, REMOVE],
    "a failed move": [
        proxy(name="r", listen="127.0.0.1:@1"),
        proxy(),
        toxic(),
        ("PATCH", P, {"listen": "127.0.0.1:@1"}, 500),
        SHOW,
        ("PATCH", P, {"listen": "127.0.0.1:@0", "enabled": True}, 200),
    ],
    "a failed replacement": [
        proxy(),
        toxic(),
        proxy(name="r", listen="127.0.0.1:@1"),
        again(500, {**MOVED, "listen": "127.0.0.1:@0"}, listen="127.0.0.1:@0"),
        ("GET", "/proxies", None, 200),
        again(201, MOVED, listen="127.0.0.1:@1"),
        ("GET", "/proxies", None, 200),
    ],
    "a malformed address": [
        *((*proxy(listen=listen)[:3], 500) for listen in ("junk", "127.0.0.1:99999", "127.0.0.1", "a:b:c", "[::1")),
        proxy(listen="127.0.0.1:99999", enabled=False),
        ("PATCH", P, {}, 500),
        again(500, listen="127.0.0.1:99999"),
        again(500, listen="junk"),
        ("PATCH", P, {"listen": "127.0.0.1:@0"}, 200),
        ENABLE,
    ],
    "IPv6": [proxy(listen="[::1]:@0"), SHOW, DISABLE, ENABLE],
    "the whole populate is refused": [
        again(400, {"name": "r"}),
        ("POST", "/populate", {}, 400),
        ("POST", "/populate", [{"name": 1}], 400),
        ("POST", "/populate", None, 400),
        ("POST", "/populate", b"{", 400),
        ("POST", "/populate", b"null", 201),
    ],
    "values": [
        proxy(),
        toxic(name="1", toxicity=1.5, attributes={"latency": -5}),
        toxic(name="2", toxicity=-0.1, attributes={"latency": 2**63 - 1, "jitter": 2**63 - 1}),
        toxic(400, name="3", attributes={"latency": 2**63}),
        toxic(400, name="3", attributes={"latency": 1.5}),
        ("POST", TOXICS, b'{"type":"latency","name":"3","toxicity":NaN}', 400),
        ("POST", TOXICS, b'\xef\xbb\xbf{"type":"latency","name":"3"}', 400),
        ("PATCH", f"{TOXICS}/1", {"toxicity": 0.1}, 200),
        ("PATCH", f"{TOXICS}/2", {"attributes": {"jitter": -1}}, 200),
        ("PATCH", f"{TOXICS}/1", {"toxicity": 3.4028234e38}, 200),
        ("PATCH", f"{TOXICS}/1", {"toxicity": -3.4028235e38}, 200),
        ("PATCH", f"{TOXICS}/1", {"toxicity": 3.4028236e38}, 400),
        ("PATCH", f"{TOXICS}/1", {"toxicity": 1.17549435e-38}, 200),
        ("PATCH", f"{TOXICS}/1", {"toxicity": 1e-45}, 200),
        ("GET", TOXICS, None, 200),
    ],
    "the order of errors": [
        proxy(),
        toxic(stream="UPSTREAM"),
        toxic(409, name="latency_UPSTREAM", attributes={"latency": "x"}),
        toxic(400, stream="nowhere", attributes=[]),
        toxic(400, type="nothing", stream="nowhere"),
        toxic(400, type="nothing", name="latency_UPSTREAM"),
        (*proxy(listen="junk")[:3], 409),
        ("DELETE", f"{TOXICS}/latency_UPSTREAM", None, 204),
    ],
    "a toxic called down": [proxy(), toxic(name="down"), ("DELETE", f"{TOXICS}/down", None, 204), SHOW],
    "trailing slashes": [proxy(), ("DELETE", f"{P}/", None, 404), ("GET", "/proxies/", None, 404), SHOW],
    "trailing data": [("POST", "/proxies", b'{"name":"p","upstream":"u","listen":"127.0.0.1:@0"} x', 201)],
}


@pytest.mark.parametrize("case", CASES)
def test_a_sequence_is_answered_alike(pair: tuple[Api, Api], case: str) -> None:
    for api in pair:
        api.clear()
    for method, path, body, status in CASES[case]:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        theirs, ours = (alike(api.ask(method, path, data)) for api in pair)
        assert (ours, ours.status) == (theirs, status), (method, path, body)
