"""What an application is told by its environment."""

import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from brownout.subject.application import Application, NotImportable, filled, surface

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
            "ModuleNotFoundError: No module named 'celery'",
            "the application needs celery, which is not installed; type",
        ),
        ("ModuleNotFoundError: No module named 'redis.asyncio'", " -m pip install redis"),
        ("ModuleNotFoundError: No module named 'shop'", "there is no module shop; type the command in the directory"),
        ("ModuleNotFoundError: No module named 'shop.wrk'", "there is no module shop.wrk"),
        ("ModuleNotFoundError: No module named 'main'", "there is no module main; type the command in the directory"),
    ],
)
def test_a_missing_library_is_one_line(last: str, said: str) -> None:
    error = NotImportable(f"Traceback (most recent call last):\n  in f\n{last}\n", "shop.worker:app", "main:app", None)
    assert said in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    "last", ["ZeroDivisionError: division by zero", "ModuleNotFoundError: No module named 'x'\nE: again", ""]
)
def test_an_application_that_breaks_shows_its_traceback(last: str) -> None:
    error = NotImportable(f"Traceback (most recent call last):\n  somewhere\n{last}\n", "shop")
    assert str(error).startswith("the application can't be imported:\nTraceback")
    assert last in str(error)


def test_an_import_that_takes_too_long_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never_ends(argv: list[str], *, timeout: float, **_: object) -> NoReturn:
        raise subprocess.TimeoutExpired(argv, timeout)

    monkeypatch.setattr(subprocess, "run", never_ends)
    with pytest.raises(NotImportable, match=r"the application was not imported within 60 s$"):
        surface(Application(celery="slow:app"), tmp_path)
