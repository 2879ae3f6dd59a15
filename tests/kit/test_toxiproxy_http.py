"""HTTP as no library writes it: the built-in API answers as toxiproxy-server does."""

import http.client
import socket

import pytest

import brownout.wire.toxiproxy.http
from tests.kit.toxiproxy_exceptions import alike
from tests.kit.toxiproxy_servers import Api
from tests.kit.wire_peers import PATIENCE

HOST = b"Host: 127.0.0.1:8474\r\n"


def request(line: str, *headers: str, body: bytes = b"", host: bytes = HOST) -> bytes:
    """The last one on its connection."""
    head = "".join(f"{header}\r\n" for header in (*headers, "Connection: close"))
    return line.encode("latin-1") + b" HTTP/1.1\r\n" + host + head.encode("latin-1") + b"\r\n" + body


def post(*headers: str, body: bytes = b"{}") -> bytes:
    return request("POST /proxies", *headers, body=body)


ALIKE = {
    "chunked": post("Transfer-Encoding: chunked", body=b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"),
    "chunk extensions": post("Transfer-Encoding: chunked", body=b"2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n"),
    "chunked with a length": post("Transfer-Encoding: chunked", "Content-Length: 9", body=b"2\r\n{}\r\n0\r\n\r\n"),
    "two equal lengths": post("Content-Length: 2", "Content-Length: 2"),
    "more than the value": post("Content-Length: 9", body=b"null junk"),
    "5,000 deep": post("Content-Length: 10000", body=b"[" * 5000 + b"]" * 5000),
    "100-continue": post("Content-Length: 2", "Expect: 100-continue"),
    "100-Continue": post("Content-Length: 2", "Expect: 100-Continue"),
    "another expectation": post("Content-Length: 2", "Expect: 200"),
    "HEAD, 405": request("HEAD /version"),
    "HEAD, 404": request("HEAD /nothing"),
    "OPTIONS *": request("OPTIONS *"),
    "GET *": request("GET *"),
    "HTTP/1.0": b"GET /version HTTP/1.0\r\n\r\n",
    "HTTP/1.0 with a host": b"GET /version HTTP/1.0\r\nHost: localhost\r\n\r\n",
    "HTTP/1.2": b"GET /version HTTP/1.2\r\n" + HOST + b"Connection: close\r\n\r\n",
    "empty host": request("GET /version", host=b"Host:\r\n"),
    "upper case": request("GET /version", host=b"HOST: LocalHost:8474\r\n"),
    "IPv6": request("GET /version", host=b"Host: [::1]:8474\r\n"),
    "IPv6 without a port": request("GET /version", host=b"Host: [::1]\r\n"),
    "bare line feeds": b"GET /version HTTP/1.1\nHost: localhost\nConnection: close\n\n",
    "folded header": request("GET /version", "A: b\r\n c"),
    "absolute": request("GET HTTP://127.0.0.1/version?x"),
    "absolute, no path": request("GET http://127.0.0.1"),
    "bad escape in the query": request("GET /version?a=%zz"),
    "fragment": request("GET /version#x"),
    "lower-case method": request("get /version"),
    "pipelined": b"GET /version HTTP/1.1\r\n" + HOST + b"\r\n" + request("GET /nothing"),
    "a body nobody wants": request("GET /version", "Content-Length: 2", body=b"{}"),
    "a browser": request("GET /version", "User-Agent: Mozilla/5.0"),
    "a browser, 404": request("GET /nothing", "User-Agent: Mozilla/5.0"),
    "a browser, 405": request("PUT /version", "User-Agent: Mozilla/5.0"),
    "long header": request("GET /version", "A: " + "a" * 900_000),
    "long path": request("GET /" + "a" * 70_000),
}

MALFORMED = {
    "bad chunk": post("Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"),
    "gzip": post("Transfer-Encoding: gzip"),
    "two lengths": post("Content-Length: 2", "Content-Length: 3"),
    "a digit that is none": post("Content-Length: ²"),
    "negative length": post("Content-Length: -1"),
    "signed length": post("Content-Length: +2"),
    "no host": b"GET /version HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /version HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "HTTP/2.0": b"GET /version HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /version\r\n\r\n",
    "junk": b"junk\r\n\r\n",
    "junk after HEAD": b"HEAD /version HTTP/1.1\r\n" + HOST + b"\r\njunk\r\n\r\n",
    "two spaces": request("GET  /version"),
    "space before a colon": request("GET /version", "A : b"),
    "no colon": request("GET /version", "junk"),
    "relative": request("GET version"),
    "query alone": request("GET ?x"),
    "bad escape": request("GET /%zz"),
    "NUL": request("GET /a\x00b"),
    "bad method": request("G(T /version"),
    "too long header": request("GET /version", "A: " + "a" * 1_200_000),
}

DIFFERENT = {
    "raw-bytes": (request("GET /versé"), [404], [400]),
    "connect": (request("CONNECT a:1"), [301], [400]),
    "continue": (request("POST /nothing", "Content-Length: 2", "Expect: 100-continue", body=b"{}"), [404], [100, 404]),
    "big": (post("Content-Length: 1100002", body=b'"' + b"x" * 1_100_000 + b'"'), [400], [413]),
    "host": (request("GET /version", host=b"Host: rebound.example:8474\r\n"), [200], [403]),
    "deep": (post("Content-Length: 10010", body=b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}    "), [400], [400]),
}


@pytest.mark.parametrize("case", ALIKE)
def test_odd_http_is_answered_alike(pair: tuple[Api, Api], case: str) -> None:
    theirs, ours = ([alike(answer) for answer in api.raw(ALIKE[case])] for api in pair)
    assert ours == theirs


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_http_has_the_servers_status(pair: tuple[Api, Api], case: str) -> None:
    """`malformed`: the words differ."""
    theirs, ours = ([(answer.status, answer.type) for answer in api.raw(MALFORMED[case])] for api in pair)
    assert ours == theirs
    assert ours[-1][0] >= 400


@pytest.mark.parametrize("case", DIFFERENT)
def test_documented_differences_of_http(pair: tuple[Api, Api], case: str) -> None:
    data, *expected = DIFFERENT[case]
    assert [[answer.status for answer in api.raw(data)] for api in pair] == expected


def test_deep_json_is_refused(pair: tuple[Api, Api]) -> None:
    """`deep`: by both, but not for the same reason, because the built-in wire takes fewer levels."""
    says = [api.raw(DIFFERENT["deep"][0])[0].data["error"] for api in pair]
    assert says == ["missing required field: name", "bad request body: nested too deeply"]


def test_a_body_that_ends_too_early_is_an_error(pair: tuple[Api, Api]) -> None:
    """`short`: the server takes this for a client that has gone, unless it has read the end of the body first."""
    data = b"POST /proxies HTTP/1.1\r\n" + HOST + b'Content-Length: 50\r\n\r\n{"name"'
    theirs, ours = ([answer.status for answer in api.raw(data, half_close=True)] for api in pair)
    assert ours == [400]
    assert theirs in ([503], [400])


def test_a_client_that_has_closed_its_side_is_answered(pair: tuple[Api, Api]) -> None:
    """`short`: the server may take this for a client that has gone."""
    data = post("Content-Length: 2").replace(b"Connection: close\r\n", b"")
    theirs, ours = ([answer.status for answer in api.raw(data, half_close=True)] for api in pair)
    assert ours == [400]
    assert theirs in ([400], [503])


@pytest.mark.parametrize(
    ("data", "answers"),
    [(b"GET /ver", []), (b"POST /proxies HTTP/1.1\r\n" + HOST + b"Content-Length: 50\r\n\r\n{", [(503, "", "")])],
    ids=["head", "body"],
)
def test_a_request_that_stalls_is_given_up(
    pair: tuple[Api, Api], monkeypatch: pytest.MonkeyPatch, data: bytes, answers: list[tuple[int, str, str]]
) -> None:
    """As by the server, which takes 15 s."""
    monkeypatch.setattr(brownout.wire.toxiproxy.http, "READ_WITHIN", 0.1)
    assert [(answer.status, answer.type, answer.data) for answer in pair[1].raw(data)] == answers


def test_a_client_that_reads_no_answer_is_given_up(pair: tuple[Api, Api], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brownout.wire.toxiproxy.http, "SEND_WITHIN", 0.1)
    long = b'{"name":"long","listen":"127.0.0.1:0","upstream":"%s"}' % (b"u" * 100_000)
    pair[1].clear()
    assert pair[1].ask("POST", "/proxies", long).status == 201
    asked = (b"GET /proxies HTTP/1.1\r\n" + HOST + b"\r\n") * 500_000  # more than all buffers hold
    client = socket.create_connection(("127.0.0.1", pair[1].port), timeout=PATIENCE)
    with client, pytest.raises(ConnectionError):
        client.sendall(asked)
    pair[1].clear()


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_http_1_0_is_closed_after_one_answer(pair: tuple[Api, Api], version: str) -> None:
    """`raw` returns when the connection ends; an HTTP/1.1 client has to ask for it."""
    close = "Connection: close\r\n" if version == "HTTP/1.1" else ""
    data = f"GET /version {version}\r\nHost: localhost\r\n{close}\r\n".encode()
    assert [len(api.raw(data)) for api in pair] == [1, 1]


@pytest.mark.parametrize(
    ("path", "named"), [("/version", True), ("/proxies/none", True), ("/nothing", False), ("//version", False)]
)
def test_answers_carry_the_headers_of_the_server(pair: tuple[Api, Api], path: str, named: bool) -> None:
    """`server`: the built-in wire tells who it is."""
    said = []
    for api in pair:
        link = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
        link.request("GET", path)
        answer = link.getresponse()
        answer.read()
        headers = dict(answer.headers)
        link.close()
        request_id = headers.get("X-Toxiproxy-Request-Id", "")
        assert (len(request_id) == 20) is named
        said.append({name: "" if "I" in name or name == "Date" else value for name, value in headers.items()})
        assert (said[-1].pop("Server", "") == "brownout") is (named and api.name == "builtin")
    assert said[1] == said[0]
