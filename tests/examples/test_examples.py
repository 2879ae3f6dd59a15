"""Each example as a user would try it, who has only Python: what its README says is what its commands print."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.examples.machine import EXAMPLES, Machine, made
from tests.examples.readme import Shown, absent, commands

NAMES = sorted(file.parent.name for file in EXAMPLES.glob("*/README.md") if file.parent.name != "seeds")
WRITTEN = ("brownout.toml", "tests/chaos/test_first.py")


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """One for all processes of xdist."""
    own = tmp_path_factory.getbasetemp()
    return made(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    """A copy of the example; its path is short, because unix sockets' names must be."""
    return Path(shutil.copytree(EXAMPLES / name, tmp_path_factory.mktemp("e") / name, ignore=_left))


def _left(_: str, names: list[str]) -> list[str]:
    return [name for name in names if name in ("store", "__pycache__", ".pytest_cache") or name.endswith(".db")]


def test_there_are_seven() -> None:
    assert len(NAMES) == 7


@pytest.mark.parametrize("name", NAMES)
def test_init_writes_what_the_example_has(machine: Machine, folder: Path, name: str) -> None:
    for file in WRITTEN:
        (folder / file).unlink()
    done = machine.run("brownout init", folder)
    assert done.returncode == 0, done.stdout
    for file in WRITTEN:
        assert (folder / file).read_text() == (EXAMPLES / name / file).read_text(), done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_print_what_the_readme_says(machine: Machine, folder: Path, name: str) -> None:
    shown = commands(folder / "README.md")
    assert {one.command.split()[0] for one in shown} == {"brownout", "pytest"}
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    for one in shown:
        printed = machine.run(one.command, folder).stdout
        assert absent(one.output, printed) == "", f"$ {one.command}\n{printed}"
        if one.command.startswith("pytest"):
            assert "brownout: redis embedded" in printed, "no Redis is on PATH"
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        (["a ... lost ×1", "...", "1 failed in ..."], ""),
        (["1 failed in ...", "a b lost ×1"], "a b lost ×1"),  # in this order
        (["a b lost"], "a b lost"),  # the whole line
        (["a ... lost ×2"], "a ... lost ×2"),
        (["a b lost ×1", "a b lost ×1"], "a b lost ×1"),  # printed once
    ],
)
def test_a_line_that_is_not_printed_is_noticed(shown: list[str], missing: str) -> None:
    assert absent(shown, "first\na b lost ×1   \n\nother\n1 failed in 3 s\n") == missing


def test_commands_are_read_from_console_blocks_only(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("```\n$ no\n```\n```console\n$ a b\nx\n...\n$ c\n```\n```console\n$ d\n```\n")
    assert commands(tmp_path / "README.md") == [Shown("a b", ("x", "...")), Shown("c", ()), Shown("d", ())]
