"""Requests to Toxiproxy's API, generated: all routes, values of every kind, letter cases, odd bodies and paths."""

import json
from collections.abc import Mapping
from urllib.parse import quote

from hypothesis import strategies as st

from tests.kit.toxiproxy_exceptions import FOREIGN, Asked

NAMES = st.sampled_from(["a"] * 5 + ["b"] * 3 + ["A", "ü", "x y"])
TOXICS = st.sampled_from(["t"] * 5 + ["u", "T", "down", "ü", "latency_downstream", "noop_UPSTREAM"])
# Neither server may listen beyond the loopback or ask a name server: no wildcard, and of names `localhost` alone.
GOOD_LISTENS = """127.0.0.1:0 127.0.0.1:@0 127.0.0.1:@1 localhost:@0 LOCALHOST:0 [::1]:0 [::1]:@0 127.0.0.2:@0
    127.0.0.1: 127.0.0.1:+0 [127.0.0.1]:0 [::ffff:127.0.0.1]:@0"""
BAD_LISTENS = """127.0.0.1:-1 127.0.0.1:99999 junk a:b:c [::1 [::1] [::1]x:0 ]:0 1[:0 1]:0 127.0.0.1:nope"""
LISTENS = st.sampled_from(["no name:0", "127.0.0.1:@0 ", *GOOD_LISTENS.split(), *BAD_LISTENS.split(), *FOREIGN])
UPSTREAMS = st.sampled_from(["127.0.0.1:1", "127.0.0.1:2", "h:1", "nonsense", ""])
LARGE = [2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30]
NUMBERS = st.one_of(st.integers(-10, 2000), st.sampled_from([*LARGE, 1.5, 1e3, -0.0]))
SHARES = st.one_of(st.floats(-1, 2, width=32), st.sampled_from([0, 1, 0.1, 1e-9, 3e38, 4e38, 10**400, 2**53 + 1]))
STREAMS = st.sampled_from(["upstream", "downstream", "UPSTREAM", "Downstream", "both", ""])
GOOD_TYPES = ["latency", "bandwidth", "noop", "slicer", "limit_data", "timeout", "slow_close", "reset_peer"]
TYPES = st.sampled_from([*GOOD_TYPES, "Latency", "rst", "down", "nothing", ""])
ATTRIBUTES = ["latency", "jitter", "rate", "bytes", "timeout", "delay", "average_size", "size_variation"]
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)
NO_TEXT = ANYTHING.filter(lambda value: not isinstance(value, str))


def cased(key: str) -> st.SearchStrategy[str]:
    """A key as clients write it, and as they could."""
    return st.sampled_from([key, key, key, key.capitalize(), key.upper(), key.replace("s", "ſ"), key + "s"])


class Text(str):
    """JSON already."""

    __slots__ = ()


@st.composite
def objects(
    draw: st.DrawFn,
    fields: Mapping[str, st.SearchStrategy[object]],
    given: tuple[str, ...] = (),
    first: tuple[str, ...] = (),
) -> Text:
    """A JSON object: `given` fields nearly always, others at times; some of a wrong type, some twice, some unknown.

    The pairs `first` stand before all others: of two equal keys the last one counts.
    """
    pairs = []
    for key, values in fields.items():
        count = draw(st.sampled_from([1] * 9 + [0, 2] if key in given else [0] * 6 + [1] * 4))
        for _ in range(count):
            wrong = NO_TEXT if key == "listen" else ANYTHING
            value = draw(wrong if draw(st.integers(0, 29)) == 29 else values)
            value = value if value is not None or count < 2 else 0  # `twice`
            text = value if isinstance(value, Text) else json.dumps(value, ensure_ascii=draw(st.booleans()))
            pairs.append(f"{json.dumps(draw(cased(key)))}:{text}")
    if draw(st.integers(0, 9)) == 9:
        pairs.append(f"{json.dumps(draw(st.text(max_size=4)))}:{json.dumps(draw(ANYTHING))}")
    return Text("{" + ",".join((*first, *draw(st.permutations(pairs)))) + "}")


FIELDS = {"name": NAMES, "upstream": UPSTREAMS, "listen": LISTENS, "enabled": st.booleans()}
PROXY = objects(FIELDS, ("name", "upstream", "listen"), first=('"listen":"127.0.0.1:0"',))
CHANGE = objects(FIELDS, ("enabled",))
VALUES = {"attributes": objects(dict.fromkeys(ATTRIBUTES, NUMBERS)), "toxicity": SHARES}
TOXIC = objects({"type": TYPES, "name": TOXICS, "stream": STREAMS, **VALUES}, ("type", "attributes"))
POPULATE = st.lists(PROXY, max_size=3).map(lambda proxies: "[" + ",".join(proxies) + "]")
NO_JSON = [b"", b" ", b"{", b"}", b"tru", b"NaN", b'{"name":NaN}', b"\xef\xbb\xbf{}", b"\xff", b"{'a':1}", b"\x0c{}"]
ODD_JSON = [b"null", b"nullx", b"[]", b"[null]", b"[1]", b'"x"', b"5", b"{}{}", b"{} x", b" \t\r\n{}", b"[" * 500]
ODD_PROXIES = [
    b'{"name":"\xff","upstream":"u","listen":"127.0.0.1:0"}',
    b'{"name":"\\ud800","upstream":"u","listen":"127.0.0.1:0"}',
    b'{"name":"a\tb","upstream":"u"}',
    b'{"name":"a","upstream":"u",}',
    b'{"name":"a","x":01}',
    b'{"name":"' + b"n" * 5000 + b'","upstream":"u","listen":"127.0.0.1:0"}',
    b'{"x":1' + b"0" * 5000 + b"}",
]
ODD = st.sampled_from(NO_JSON + ODD_JSON + ODD_PROXIES)
ODD_PATHS = """/ // /proxies/ //proxies /proxies//a /proxies/a/ /proxies/a/toxics/ /proxies/./a /proxies/../a /Proxies
    /proxies/a%2Ftoxics /metrics /proxies/a/toxics/x/y /version/ /reset/ /populate/ /proxies/%ff /proxies?x=1
    /proxies/a?x=%zz /proxies/a;b /proxies/%00 /proxies/a+b /%2e%2e/version"""
METHODS = st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "get", "FOO"])


def bodies(good: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Mostly good ones."""
    return st.integers(0, 9).flatmap(lambda dice: ODD if dice == 9 else good.map(str.encode))


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    """One request, often one that changes something."""
    proxy = "/proxies/" + quote(draw(NAMES))
    toxics = proxy + "/toxics"
    toxic = toxics + "/" + quote(draw(TOXICS))
    routes: list[tuple[str, str, st.SearchStrategy[bytes] | None]] = [
        ("POST", "/proxies", bodies(PROXY)),
        ("POST", "/proxies", bodies(PROXY)),
        ("PATCH", proxy, bodies(CHANGE)),
        ("POST", proxy, bodies(CHANGE)),
        ("POST", "/populate", bodies(POPULATE)),
        ("POST", toxics, bodies(TOXIC)),
        ("POST", toxics, bodies(TOXIC)),
        ("PATCH", toxic, bodies(TOXIC)),
        ("DELETE", toxic, None),
        ("DELETE", proxy, None),
        ("POST", "/reset", None),
        ("GET", draw(st.sampled_from(["/version", "/proxies", proxy, toxics, toxic])), None),
        (draw(METHODS), draw(st.sampled_from([*ODD_PATHS.split(), "/proxies", proxy, toxics, toxic])), ODD),
    ]
    method, path, body = draw(st.sampled_from(routes))
    return Asked(method, path, None if body is None else draw(body))


START = (
    Asked("POST", "/proxies", b'{"name":"a","listen":"127.0.0.1:@0","upstream":"127.0.0.1:1"}'),
    Asked("POST", "/proxies", b'{"name":"b","listen":"localhost:@1","upstream":"127.0.0.1:1","enabled":false}'),
    Asked("POST", "/proxies/a/toxics", b'{"name":"t","type":"latency"}'),
)
