"""A project that pins a version is told when the one beside brownout is another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from brownout.cli.output import warn
from brownout.explore.experiment import DEFAULTS, STOCK, Experiment, Workload
from brownout.project.pins import changed, own_requirements, pins
from brownout.subject.application import Application

HAS = {"redis": "8.1.0", "httpx": "0.28.1", "h11": "0.16.0", "jinja2": "3.1.6", "celery": "5.2.7"}.get
MINE = ("redis", "httpx", "h11", "Jinja2")


def project(folder: Path, **files: str) -> Path:
    """A folder with these files; `a__b` is `a.b`."""
    for name, text in files.items():
        (folder / name.replace("__", ".").replace("_", "-")).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements__txt", "# pins\n-r other.txt\nredis==4.5.4  # old\ncelery==5.2.7\n"),
        ("requirements_dev__txt", "Redis[hiredis]==4.5.4 \\\n    --hash=sha256:00\n"),
        ("pyproject__toml", '[project]\nname = "x"\ndependencies = ["redis == 4.5.4", "httpx>=0.20"]\n'),
        ("uv__lock", 'version = 1\n[[package]]\nname = "redis"\nversion = "4.5.4"\n[[package]]\nname = "x"\n'),
        ("poetry__lock", '[[package]]\nname = "redis"\nversion = "4.5.4"\n'),
        ("pdm__lock", '[[package]]\nname = "redis"\nversion = "4.5.4"\n'),
        ("Pipfile__lock", json.dumps({"default": {"redis": {"version": "==4.5.4"}, "x": {"git": "y"}}})),
    ],
)
def test_a_pin_that_does_not_hold_is_one_line(tmp_path: Path, name: str, text: str) -> None:
    line = changed(project(tmp_path, **{name: text}), MINE, HAS)
    file = name.replace("__", ".").replace("_", "-")
    assert f": redis 8.1.0 ({file} pins 4.5.4); " in line
    assert "\n" not in line
    assert "--python" in line


@pytest.mark.parametrize(
    "text",
    [
        "redis==8.1",  # the same version
        "redis==8.*",
        "redis>=4,<5",  # no pin
        "celery==5.3.0",  # not required by brownout, so nothing that brownout has changed
        "psutil==5.0",  # not installed
        "redis==4.5.4; python_version < '3'",
        "redis===",
    ],
)
def test_what_holds_or_is_no_pin_is_not_named(tmp_path: Path, text: str) -> None:
    assert changed(project(tmp_path, requirements__txt=text), (*MINE, "psutil"), HAS) == ""


def test_what_a_person_wrote_wins_over_a_lock(tmp_path: Path) -> None:
    made = project(tmp_path, requirements__txt="redis==8.1.0", poetry__lock='[[package]]\nname="redis"\nversion="4"\n')
    assert changed(made, MINE, HAS) == ""
    assert pins(made)["redis"] == ("8.1.0", "requirements.txt")


def test_many_are_counted(tmp_path: Path) -> None:
    line = changed(project(tmp_path, requirements__txt="redis==1\nhttpx==1\nh11==1\nJinja2==1\n"), MINE, HAS)
    assert line.count(".txt pins ") == 3
    assert " and 1 more; " in line


def test_a_folder_without_files_or_with_broken_ones_pins_nothing(tmp_path: Path) -> None:
    assert pins(tmp_path) == {}
    assert pins(project(tmp_path, pyproject__toml="[", uv__lock="=", Pipfile__lock="[]")) == {}


def test_brownout_knows_its_own_requirements() -> None:
    assert {"redis", "httpx", "pytest"} <= own_requirements()
    assert "testcontainers" not in own_requirements(), "extras change nothing unless they are asked for"


@pytest.mark.parametrize(("python", "said"), [("", True), ("/of/the/application", False)])
def test_commands_say_it_only_where_brownout_shares_the_applications_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], python: str, said: bool
) -> None:
    monkeypatch.chdir(project(tmp_path, requirements__txt="redis==1.0"))
    task = Workload("task", "a task")
    warn(Experiment(Application(celery="shop", python=python), tmp_path, DEFAULTS, task, "shop.add"))
    err = capsys.readouterr().err
    assert err.startswith("brownout: installed beside brownout, and not as the project pins it: redis ") is said
    assert bool(err) is said
    warn(Experiment(STOCK, tmp_path, DEFAULTS, task, "work"))
    assert capsys.readouterr().err == "", "the stock application is no project's"
