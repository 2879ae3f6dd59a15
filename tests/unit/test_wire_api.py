"""The control API without a socket."""

import json
from typing import Any, cast

import pytest

from brownout.wire.tcp.wire import Wire
from brownout.wire.toxiproxy.api import answer
from brownout.wire.toxiproxy.http import Request, cleaned, host_of


class Broken:
    """A wire that fails at whatever it is asked."""

    @property
    def edges(self) -> Any:
        raise ZeroDivisionError("on purpose")


def test_an_error_of_a_handler_is_an_answer_too() -> None:
    got = answer(cast("Wire", Broken()), Request("GET", "/proxies", {"host": "localhost"}))
    assert (got.status, json.loads(got.body)) == (500, {"error": "ZeroDivisionError('on purpose')", "status": 500})


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/proxies", "/proxies"),
        ("/proxies/", "/proxies/"),
        ("//proxies", "/proxies"),
        ("/proxies//a/./b/../c/", "/proxies/a/c/"),
        ("/..", "/"),
        ("", "/"),
        ("*", "/*"),
    ],
)
def test_a_path_is_cleaned_as_gorillas_mux_does(path: str, clean: str) -> None:
    assert cleaned(path) == clean


@pytest.mark.parametrize(
    ("header", "host"),
    [("LocalHost:80", "localhost"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("", "")],
)
def test_a_host_has_no_port(header: str, host: str) -> None:
    assert host_of(header) == host


@pytest.mark.parametrize(
    "host", ["rebound.example", "127.0.0.1.rebound.example:80", "[::2]:80", "localhost.", "0.0.0.0"]
)
def test_a_foreign_host_is_refused(host: str) -> None:
    assert answer(cast("Wire", Broken()), Request("GET", "/version", {"host": host})).status == 403
