"""The environment of an application's processes, and what of the kit is on the path of another Python."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from brownout.subject.application import Application, Unusable
from brownout.subject.environment import (
    KIT,
    environment_of,
    folder_of,
    interpreter,
    on_path,
    probes_folder,
    project_of,
    python_of,
    read_env_file,
)


def test_an_env_file_is_read_as_shells_and_dotenv_read_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# comment\nPLAIN=a b # more\nexport URL=redis://h/0#1\nQUOTED='x # y' # z\nDOUBLE=\"{}\"\nEMPTY=\nno line\n"
    )
    assert read_env_file(tmp_path / ".env") == {
        "PLAIN": "a b",
        "URL": "redis://h/0#1",
        "QUOTED": "x # y",
        "DOUBLE": "{}",
        "EMPTY": "",
    }


def test_a_file_belongs_to_the_nearest_project(tmp_path: Path) -> None:
    test = tmp_path / "shop" / "tests" / "test_it.py"
    assert project_of(test, tmp_path) == tmp_path
    test.parent.mkdir(parents=True)
    (tmp_path / "shop" / "brownout.toml").touch()
    assert project_of(test, tmp_path) == tmp_path / "shop"
    assert project_of(test, tmp_path / "shop" / "tests") == tmp_path / "shop" / "tests", "not above pytest's root"
    assert project_of(test, tmp_path / "other") == tmp_path / "other"


def test_the_nearest_source_of_a_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / ".env").write_text("A=file\nB=file\nC=file\nD=file\nE=file\n")
    (tmp_path / ".env").write_text("A=the root's\n")
    monkeypatch.setenv("E", "shell")
    application = Application(
        env={"C": "{broker}", "D": "app"},
        part_env={"worker": {"D": "part"}},
        folders={"worker": "back"},
        env_file=".env",
    )
    found = environment_of(application, "worker", tmp_path, {"B": "kit"}, broker="redis://b/0")
    assert found == {"A": "file", "B": "kit", "C": "redis://b/0", "D": "part"}, "E is the shell's: it stays unset"
    assert environment_of(application, "api", tmp_path, {}) == {"A": "the root's", "C": "{broker}", "D": "app"}
    assert folder_of(application, "worker", tmp_path) == tmp_path / "back"


@pytest.fixture
def other(tmp_path: Path) -> str:
    """The Python of a new environment, in which nothing is installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "other"], check=True)
    return str(tmp_path / "other" / "bin" / "python")


@pytest.mark.parametrize("module", ["pytest", "redis", "psutil", "system", "tests", "brownout.lab", "brownout.cli"])
def test_another_python_has_the_probes_and_nothing_else_of_the_kit(
    other: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(KIT.parent))
    code = f"import brownout.probes.recorder\nimport {module}"
    done = subprocess.run(
        [other, "-c", code], env=os.environ | on_path(other, {}), cwd="/", capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == f"ModuleNotFoundError: No module named '{module}'"


def test_only_one_folder_is_added_to_its_path(other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{KIT.parent}{os.pathsep}/own")
    found = on_path(other, {"PATH": "/usr/bin"})
    assert found["PYTHONPATH"] == f"{probes_folder()}{os.pathsep}/own"
    assert on_path(other, {"PYTHONPATH": "src"})["PYTHONPATH"] == f"{probes_folder()}{os.pathsep}src"
    assert found["PATH"] == f"{Path(other).parent}{os.pathsep}/usr/bin"
    assert found["VIRTUAL_ENV"] == str(Path(other).parents[1])
    assert [place.name for place in probes_folder().iterdir()] == ["brownout"]
    inside = {place.name for place in (probes_folder() / "brownout").iterdir()} - {"__pycache__"}
    assert inside == {"__init__.py", "probes", "explore"}
    assert on_path("", {"A": "1"}) == on_path(sys.executable, {"A": "1"}) == {"A": "1"}


def test_the_projects_own_environment_is_found_when_it_has_celery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def environment(name: str, *packages: str) -> Path:
        place = tmp_path / name
        (place / "bin").mkdir(parents=True)
        (place / "bin" / "python").touch()
        for package in packages:
            (place / "lib" / "python3.9" / "site-packages" / package).mkdir(parents=True)
        return place

    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert python_of(tmp_path) == ""
    active = environment("active", "celery")
    monkeypatch.setenv("VIRTUAL_ENV", str(active))
    assert python_of(tmp_path) == str(active / "bin" / "python")
    own = environment(".venv", "tox")
    assert python_of(tmp_path) == str(active / "bin" / "python"), "no application runs without Celery"
    (own / "lib" / "python3.9" / "site-packages" / "celery").mkdir()
    assert python_of(tmp_path) == str(own / "bin" / "python")
    monkeypatch.setattr(sys, "prefix", str(own))
    assert python_of(tmp_path) == "", "it is the kit's own"


def test_an_interpreter_is_named_by_its_environment_too(other: str, tmp_path: Path) -> None:
    assert interpreter(str(Path(other).parents[1])) == interpreter(other) == other
    assert interpreter(sys.executable) == ""


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("echo 3 7", "is Python 3.7; the probes need Python 3.8 or newer"),
        ("exit 3", "is no Python: "),
        ("echo no", "is no Python"),
    ],
)
def test_what_is_no_python_for_the_probes_is_one_line(tmp_path: Path, says: str, why: str) -> None:
    (tmp_path / "python").write_text(f"#!/bin/sh\n{says}\n")
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(Unusable, match=why) as caught:
        interpreter(str(tmp_path / "python"))
    assert "\n" not in str(caught.value)
    with pytest.raises(Unusable, match="is no Python"):
        interpreter(str(tmp_path / "nowhere"))
