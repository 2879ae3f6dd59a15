"""When an API counts as ready, and what is said of one that never does."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from brownout.plan.topology import Topology, Workers
from brownout.subject import preparing
from brownout.subject.application import Application, NotLaunched
from brownout.subject.preparing import ApiHealth
from brownout.subject.subject import Subject


def health(monkeypatch: pytest.MonkeyPatch, path: str, status: int, *, listens: bool = True) -> ApiHealth:
    """Of an API that answers every path with this status; 0 refuses the connection."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == (path or "/")
        if not status:
            raise httpx.ConnectError("refused")
        return httpx.Response(status)

    monkeypatch.setattr(preparing, "listens", lambda *_: listens)
    made = ApiHealth(path)
    made.close()
    made._http = httpx.Client(transport=httpx.MockTransport(answer))
    return made


@pytest.mark.parametrize(
    ("path", "status", "ready", "refusal"),
    [
        ("", 200, True, ""),
        ("", 404, True, ""),
        ("", 405, True, ""),
        ("", 500, False, "GET / answered 500 for 30 s; give a path that exists with --ready"),
        ("/up", 204, True, ""),
        ("/up", 302, True, ""),
        ("/up", 404, False, "GET /up answered 404 for 30 s; give a path that exists with --ready"),
        ("/up", 0, False, ""),
    ],
)
def test_every_answer_below_500_counts_unless_a_path_was_given(
    monkeypatch: pytest.MonkeyPatch, path: str, status: int, ready: bool, refusal: str
) -> None:
    made = health(monkeypatch, path, status)
    assert made.ready(1, 80) is ready
    assert made.refusal(30.0) == refusal


def test_the_answer_of_another_program_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not health(monkeypatch, "", 200, listens=False).ready(1, 80)


def test_an_api_that_refuses_until_the_limit_is_not_launched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    topology = Topology(Workers(0))
    subject = Subject(
        Application(api="shop:api", ready="/up"),
        topology,
        cast("Any", None),
        root=tmp_path,
        files=tmp_path,
        history=tmp_path / "history",
    )
    subject._health, subject.api_port = health(monkeypatch, "/up", 404), 80
    process: Any = SimpleNamespace(exits=[], gave_up="", current=SimpleNamespace(pid=1, tail=lambda *_: ""))
    subject.supervisors["api"] = process
    subject._consumers = lambda: 0  # type: ignore[method-assign]
    with pytest.raises(NotLaunched, match=r"^GET /up answered 404 for 0.05 s; give a path that exists with --ready$"):
        subject.wait_ready(0.05)
