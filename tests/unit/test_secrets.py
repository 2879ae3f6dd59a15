"""Secrets in texts, in files, and in plans that are stored."""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brownout import Application, at_least_once, p99, post, submit
from brownout.history.event import Event
from brownout.history.secrets import HIDDEN, LEAST, Mask, redacted, secrets_in
from brownout.plan.plan import Plan
from brownout.plan.secrets import fill, hide
from brownout.plan.topology import Topology
from brownout.probes.configuration import LEFT_OUT
from brownout.run.capsule import Capsule, secrets_of, write
from brownout.run.store import write as write_json

SECRET = "s3cr3t/+ é\"'x"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:hunter22@h/0", "redis://***@h/0"),
        ("password=hunter22, n=1", "password=***, n=1"),
        ('{"password": "correct horse battery"}', '{"password": "***"}'),
        (r"'{\"api_key\": \"hunter22\"}'", r"'{\"api_key\": \"***\"}'"),
        ("Authorization: Token hunter22", "Authorization: ***"),
        ("Cookie: a=1; session=hunter22", "Cookie: ***"),
        ("{'authorization': 'Digest user=\"me\", response=\"hunter22\"'}", "{'authorization': '***'}"),
        ("sent Bearer hunter22", "sent Bearer ***"),
        ("GET /x?n=1&sig=hunter22&m=2", "GET /x?n=1&sig=***&m=2"),
        ("-----BEGIN RSA PRIVATE KEY-----\nhunter22\nx\n-----END", "-----BEGIN RSA PRIVATE KEY-----***-----END"),
        # What is no secret stays.
        (r'"own+password=\u2026"', r'"own+password=\u2026"'),
        ("/tasks?token={key}", "/tasks?token={key}"),
        ("password: (left out)", "password: (left out)"),
        ("max_tokens=5, basic things, bearer of news", "max_tokens=5, basic things, bearer of news"),
        ("LPUSH celery -> redis://127.0.0.1:6379/0", "LPUSH celery -> redis://127.0.0.1:6379/0"),
    ],
)
def test_a_secret_is_found_by_its_place(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert redacted(shown) == shown


WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": json.dumps,
    "JSON of bytes": lambda text: json.dumps(text, ensure_ascii=False),
    "Python": repr,
    "URL": quote,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of more": lambda text: base64.b64encode(f"ab{text}cd".encode()).decode(),
}


@pytest.mark.parametrize("how", WRITTEN)
@given(secret=st.text(string.printable + "é\u2028", min_size=LEAST + 4).filter(lambda text: len(set(text)) > 7))
def test_a_known_secret_is_found_however_it_is_written(how: str, secret: str) -> None:
    text = WRITTEN[how](secret)
    shown = Mask([secret]).text(f"before {text} after")
    inner = text.strip("\"'")[4:-4]
    assert inner not in shown.replace(HIDDEN, "\0")


def test_no_text_of_the_kit_is_taken_for_a_secret() -> None:
    """A password such as "worker-1" or "postgres" is a word of many texts."""
    mask = Mask(["worker-1", "postgres", "short", "celerybeat"], names=["worker-1->broker", "shop.celerybeat"])
    assert mask.values == frozenset()
    assert mask.text("worker-1 postgres short") == "worker-1 postgres short"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("postgresql://me:p%40ss-word@h/db", {"p@ss-word", "p%40ss-word"}),
        ("Basic " + base64.b64encode(b"me:hunter22").decode(), {"hunter22"}),
        ("Bearer hunter22", {"hunter22"}),
    ],
)
def test_a_secret_is_known_without_what_stands_beside_it(text: str, found: set[str]) -> None:
    assert found <= {*secrets_in(text, whole=True)}


def test_files_are_cleaned(tmp_path: Path) -> None:
    event = Event(1, "worker-1", "failed", "token=1", data={"error": f"no {SECRET}", "password": "x", "n": 5})
    torn = '{"at":2,"source":"api","data":{"error":"token=hunter22'
    (tmp_path / "history.ndjson").write_text(f"{event.to_json()}\n{torn}")
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "api.log").write_bytes(b"start\n" + SECRET.encode() + b" \xff password=hunter22\nend\n")
    (tmp_path / "jobs.db").write_bytes(b"\0head" + SECRET.encode() + b"tail")
    Mask([SECRET]).clean(tmp_path)
    first, second = (tmp_path / "history.ndjson").read_text().split("\n")
    assert Event.from_json(first) == Event(
        1, "worker-1", "failed", "token=1", data={"error": "no ***", "password": "***", "n": 5}
    )
    assert first.startswith('{"at":')
    assert second == torn.replace("hunter22", "***")
    assert (tmp_path / "log" / "api.log").read_bytes() == b"start\n*** \xff password=***\nend\n"
    assert (tmp_path / "jobs.db").read_bytes() == b"\0head" + b"*" * len(SECRET.encode()) + b"tail"


def test_a_file_without_a_secret_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "history.ndjson"
    file.write_text('{"at": 1, "source": "api", "kind": "ready", "data": {"token_url": ""}}\n')
    before = file.stat()
    file.chmod(0o444)
    Mask(["hunter22"]).clean(tmp_path)
    assert (file.stat().st_mtime_ns, file.stat().st_size) == (before.st_mtime_ns, before.st_size)


# --- plans


@pytest.mark.parametrize(
    ("content", "lost"),
    [
        ({"headers": {"Authorization": "Bearer x", "X-User": "me"}}, {"Authorization": LEFT_OUT}),
        ({"json": {"user": {"passwords": ["a", "b"]}}}, {"passwords": LEFT_OUT}),
        ({"json": {"password": 1234, "max_tokens": 5, "token": True, "secret": None}}, {"password": LEFT_OUT}),
        ({"json": {"token": "{key}", "n": "{n}", "key": "a"}}, {}),
        ({"settings": {"task_routes": {"shop.auth": {"queue": "slow"}}, "dsn": "x"}}, {"dsn": LEFT_OUT}),
        ({"env": {"API_KEYS": "a", "URL": "{broker}", "DB": "pg://u:x@h/"}}, {"API_KEYS": LEFT_OUT, "DB": LEFT_OUT}),
        ({"part_env": {"worker": {"TOKEN": "a"}}}, {"TOKEN": LEFT_OUT}),
        ({"path": "/x?token=abc&n=1"}, {"path": "/x?token=***&n=1"}),
        ({"promises": [{"args": {"token": "id"}}]}, {}),
    ],
)
def test_a_secret_of_a_plan_is_left_out_by_its_name(content: Any, lost: dict[str, str]) -> None:
    hidden = hide(content)
    assert {one.name: one.text for one in hidden.lost} == lost
    assert fill(hidden.content, hidden.lost, lambda one: original(content, one.at)) == content


def original(content: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        content = content[step]
    return content


def test_a_capsule_has_no_secret_and_says_what_is_missing(tmp_path: Path) -> None:
    load = post("/x?token=hunter22", json={"password": "hunter23", "n": 1}, headers={"X-Api-Key": "hunter24"}, every=1)
    promises = (p99("/x?token=hunter22", times=3), at_least_once())
    plan = Plan(Topology(env={"DB_PWD": "hunter25"}, settings={"broker_url": "redis://:hunter26@h"}),
                (load.until(1), submit("t", note="hunter23", every=1, count=1)), promises=promises)  # fmt: skip
    application = {"is": "Application", "env": {"SENTRY_DSN": "hunter27"}}
    told, mask = write(tmp_path, plan, "own/x", application)
    text = (tmp_path / "plan.json").read_text()
    assert "hunter" not in text + told.to_json() + str(told)
    assert mask.text(" ".join(f"hunter2{n}" for n in range(2, 8))) == " ".join([HIDDEN] * 6)
    assert Plan.from_json(text) == told

    write_json(tmp_path / "results.json", {"scenario": "own/x", "verdicts": []})
    capsule = Capsule.load(tmp_path)
    assert {one.variable for one in capsule.lost} == {
        *("BROWNOUT_SECRET_PATH", "BROWNOUT_SECRET_PASSWORD", "BROWNOUT_SECRET_X_API_KEY", "DB_PWD"),
        *("BROWNOUT_SECRET_BROKER_URL", "BROWNOUT_SECRET_NOTE", "SENTRY_DSN"),
    } | {one.variable for one in capsule.lost if one.at[0] == "promises"}
    whole = json.loads(plan.to_json()) | {"capsule": {"application": application}}
    filled = capsule.filled(lambda one: original(whole, one.at))
    assert (filled.plan, filled.application) == (plan, application)


def test_a_plan_without_a_secret_stays_as_it_is(tmp_path: Path) -> None:
    plan = Plan(load=(submit("t", every=1, count=1),), promises=(at_least_once(),))
    assert write(tmp_path, plan, "own/x", "")[0] is plan
    assert "left_out" not in (tmp_path / "plan.json").read_text()


def test_the_secrets_of_all_environments_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Setting:
        root = tmp_path
        application = Application(
            env={"DB": "pg://u:hunter20@h/", "MODE": "x"}, part_env={"worker": {"API_TOKEN": "hunter21"}},
            folders={"api": "web"}, env_file=".env",
        )  # fmt: skip

    (tmp_path / "web").mkdir()
    (tmp_path / ".env").write_text("SECRET_KEY=hunter22\n")
    (tmp_path / "web" / ".env").write_text("export SIGNING_KEY='hunter23'\n")
    monkeypatch.setenv("SHOP_PASSWORD", "hunter24")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/tmp/agent")
    setting: Any = Setting()
    found = secrets_of(setting)
    assert {f"hunter2{n}" for n in range(5)} <= found
    assert not {"x", "/tmp/agent", str(Path.cwd())} & found
