"""What an application is told by its environment."""

import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from brownout.subject.application import Application, NotImportable, Unusable, surface
from brownout.subject.environment import filled

JSON = '{"queues": {"a": 1}, "broker_url": "{broker}", "name": "{nobody}"}'


def test_braces_that_name_no_place_stay_as_they_are() -> None:
    """A value may be JSON, a format string, or half of one."""
    env = {"CONF": JSON, "FORMAT": "{0} {} {{broker}}", "ODD": "{", "PLAIN": "x"}
    assert Application(env=env).environment(broker="redis://here/0", files=Path("/there")) == {
        "CONF": '{"queues": {"a": 1}, "broker_url": "redis://here/0", "name": "{nobody}"}',
        "FORMAT": "{0} {} {redis://here/0}",
        "ODD": "{",
        "PLAIN": "x",
    }


@pytest.mark.parametrize("places", [{}, {"service": "http://there/{broker}"}])
def test_what_a_place_becomes_is_not_filled_again(places: dict[str, str]) -> None:
    env = {"URL": "{service}", "CONF": JSON}
    assert filled(env, places) == {"URL": places.get("service", "{service}"), "CONF": JSON}


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (
            "File \"<frozen os>\", line 679, in __getitem__\nKeyError: 'SHOP_KEY'",
            "the application needs SHOP_KEY in its environment: --env SHOP_KEY=VALUE",
        ),
        (
            "pydantic_core._pydantic_core.ValidationError: 2 validation errors for Settings\n"
            "secret\n  Field required [type=missing]\n    For further information\n"
            "dsn\n  Field required [type=missing]\n    For further information",
            "the application needs SECRET and DSN in its environment: --env SECRET=VALUE DSN=VALUE",
        ),
        ("ZeroDivisionError: division by zero", "can't be imported: ZeroDivisionError: division by zero; see all"),
        ("KeyError: 'x'", "can't be imported: KeyError: 'x'; see all of it with: "),
        ("", "can't be imported: in f; see all of it with: "),
        (
            "ModuleNotFoundError: No module named 'celery'",
            "the application needs celery, which is not installed; type",
        ),
        ("ModuleNotFoundError: No module named 'redis.asyncio'", " -m pip install redis"),
        ("ModuleNotFoundError: No module named 'shop'", "there is no module shop; type the command in the directory"),
        ("ModuleNotFoundError: No module named 'shop.wrk'", "there is no module shop.wrk"),
        ("ModuleNotFoundError: No module named 'main'", "there is no module main; type the command in the directory"),
    ],
)
def test_an_import_that_fails_is_one_line_with_the_next_step(last: str, said: str) -> None:
    error = NotImportable(f"Traceback (most recent call last):\n  in f\n{last}\n", "shop.worker:app", "main:app", None)
    assert said in str(error)
    assert "\n" not in str(error)


def test_an_import_that_takes_too_long_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never_ends(argv: list[str], *, timeout: float, **_: object) -> NoReturn:
        raise subprocess.TimeoutExpired(argv, timeout)

    monkeypatch.setattr(subprocess, "run", never_ends)
    with pytest.raises(Unusable, match=r"was not imported within 60 s$"):
        surface(Application(celery="slow:app"), tmp_path)
