"""The control API's reading and writing of HTTP, without a socket."""

import pytest

from brownout.wire.http import Malformed, Response, parse, render


def test_a_request_is_taken_apart() -> None:
    request = parse(b"POST /proxies/a%20b?x=1 HTTP/1.1\r\nHost: localhost:8474\r\nContent-Length:  3 \r\n\r\n")
    assert (request.method, request.path) == ("POST", "/proxies/a b")
    assert request.headers == {"host": "localhost:8474", "content-length": "3"}


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
    ],
)
def test_what_is_not_understood_is_refused(head: bytes, status: int) -> None:
    with pytest.raises(Malformed) as refused:
        parse(head)
    assert refused.value.args[0] == status


def test_an_answer_has_its_length_except_without_content() -> None:
    assert render(Response(200, b"{}"), close=False) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert b"Content-Length" not in render(Response(204), close=False)
    assert b"Connection: close" in render(Response(200), close=True)
