"""Settings are kept as JSON, without secrets: those are found by names and by texts, however deep they lie."""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pydantic
import pytest
from celery.app.defaults import NAMESPACES, flatten
from celery.schedules import crontab
from kombu import Queue

from brownout.probes.configuration import LEFT_OUT, effective, of_application, plain


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("broker_password", "x"),
        ("SECRET_KEY", "x"),
        ("security_key", "x"),
        ("api_token", "x"),
        ("apikey", "x"),
        ("database", "postgresql://me:x@db/shop"),
        ("broker_url", "redis://:x@localhost/0"),
        ("broker_url", "redis://localhost/0?password=x"),
        ("mirror", "https://x@host/"),
        ("broker_url", "redis://:pa/ss@h/0"),
        ("broker_url", "redis://:pa ss@h/0"),
        ("broker_url", "redis://:p@ss@h/0"),
        *(
            (name, "x")
            for name in ("DB_PWD", "FERNET_KEYS", "encryptionKey", "signingKeys", "KEY_2", "AWS_ACCESS_KEY_ID")
        ),
        *((name, "x") for name in ("COOKIE_SALT", "SENTRY_DSN", "slackWebhookUrl", "GCP_CREDENTIALS")),
        ("database", "host=db password=x"),
        ("database", "Server=db;Password=x"),
        ("database", "Server=db;AccountKey=x"),
        ("database", "host=db pass = x"),
        ("service", '{"user": "me", "password": "x"}'),
        ("service", json.dumps(json.dumps({"client_secret": "x"}))),
        ("service", b"{'token' : 'x'}"),
        ("certificate", "-----BEGIN RSA PRIVATE KEY-----\nx"),
        ("header", "Authorization: Bearer x"),
        ("header", "Bearer x"),
        ("header", "Authorization: Basic eDp4eHg="),
        ("call", partial(print, password="x")),
    ],
)
def test_a_secret_is_left_out(name: str, value: object) -> None:
    assert plain(name, value) == LEFT_OUT
    assert plain("settings", {name: [value]})[name] in (LEFT_OUT, [LEFT_OUT])


HIDDEN = "hunter2"


class Slots:
    __slots__ = ("host", "password")

    def __init__(self) -> None:
        self.host, self.password = "db", HIDDEN

    def __repr__(self) -> str:
        return f"Slots({self.password!r})"

    def connect(self) -> None:
        """A method, whose own text has the text of the object."""


class Pair(NamedTuple):
    host: str = "db"
    password: str = HIDDEN


class Model(pydantic.BaseModel):
    host: str = "db"
    password: str = HIDDEN


@dataclass
class Data:
    host: str = "db"
    password: str = HIDDEN


@pytest.mark.parametrize(
    "value",
    [SimpleNamespace(host="db", password=HIDDEN), Slots(), Pair(), Model(), Data(), {"host": "db", "password": HIDDEN}],
    ids=lambda value: type(value).__name__,
)
def test_the_fields_of_an_object_have_their_names(value: object) -> None:
    told = {"host": "db", "password": LEFT_OUT}
    assert plain("database", value) == told
    assert plain("databases", [{"a": (SimpleNamespace(of=value),)}]) == [{"a": [{"of": told}]}]
    assert HIDDEN not in json.dumps(plain("databases", [{value} if isinstance(value, Hashable) else value]))


def test_a_pair_is_a_name_and_its_value() -> None:
    assert plain("headers", [("X-Auth", HIDDEN), ["Accept", "text"]]) == [["X-Auth", LEFT_OUT], ["Accept", "text"]]


def test_an_object_that_leads_to_itself_or_to_all_others_is_cut_short() -> None:
    own = SimpleNamespace(n=1)
    own.own, own.next = own, SimpleNamespace(n=2, back=[own])
    cut_short = {"n": 1, "own": "<SimpleNamespace>", "next": {"n": 2, "back": ["<SimpleNamespace>"]}}
    assert plain("own", own) == cut_short
    many = plain("many", [SimpleNamespace(n=n) for n in range(60)])
    assert many.count("<SimpleNamespace>") == 10
    loop: list[Any] = []
    loop.append(loop)
    assert "<list>" in str(plain("loop", loop))


def test_harmless_settings_are_kept() -> None:
    """Of Celery's own settings only those are left out that may hold a secret, or are the path of one."""
    names = [each[0] for each in flatten(NAMESPACES)]
    assert {name for name in names if plain(name, "x") == LEFT_OUT} == {
        *("broker_password", "redis_password", "security_key", "security_key_password"),
        *("cassandra_auth_provider", "cassandra_auth_kwargs", "s3_access_key_id", "s3_secret_access_key"),
    }
    routes = {"shop.pay": {"queue": "fast", "routing_key": "pay.#"}, "shop.token": Queue("q", routing_key="q")}
    kept = plain("task_routes", routes)
    assert kept["shop.pay"] == routes["shop.pay"]
    harmless = {"visibility_timeout": 2, "global_keyprefix": "shop:", "key_prefix": "shop:", "passive": True}
    assert plain("broker_transport_options", harmless) == harmless
    for text in ("redis://localhost:6379/0", "%(asctime)s: %(message)s", "shop.tokens:Tokens", "me@host", "a=b;c=d"):
        assert plain("text", text) == text
    assert plain("beat_schedule", [crontab(minute="5")]) == [str(crontab(minute="5"))]
    assert plain("hook", Slots().connect) == f"{__name__}.Slots.connect"


def test_other_values_are_kept_as_json() -> None:
    given = {"url": "redis://localhost:6379/0", "at": 1.5, "on": None, "paths": (Path("/a"), True), "of": {"b", "a"}}
    kept = plain("settings", given)
    assert json.loads(json.dumps(kept)) == kept
    assert kept == {"url": "redis://localhost:6379/0", "at": 1.5, "on": None, "paths": ["/a", True], "of": ["a", "b"]}
    assert " at 0x" not in plain("hook", object())


@dataclass
class Own:
    wedge_seconds: int = 10
    password: str = "x"
    nested: dict[str, int] = field(default_factory=lambda: {"a": 1})


OWN = Own()


@pytest.mark.parametrize("path", ["OWN", "Own", "OWN.__dict__"])
def test_an_application_names_its_own_settings(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("BROWNOUT_SETTINGS", f"{__name__}:{path}")
    assert of_application() == {"wedge_seconds": 10, "password": LEFT_OUT, "nested": {"a": 1}}
    assert effective() == {"application": of_application()}


def test_settings_that_cannot_be_read_are_told_by_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWNOUT_SETTINGS", "no.such.module:settings")
    assert effective() == {"application": {"unreadable": "ModuleNotFoundError: No module named 'no'"}}
    monkeypatch.setenv("BROWNOUT_SETTINGS", f"{__name__}:wrong")
    assert effective() == {"application": {"unreadable": f"ValidationError: {LEFT_OUT}"}}


def wrong() -> Model:
    """pydantic's error has the value."""
    return Model.model_validate({"host": 1, "password": HIDDEN})
