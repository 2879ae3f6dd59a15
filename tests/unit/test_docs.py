"""The documents say what the code does."""

import re
from configparser import ConfigParser
from pathlib import Path

import pytest

import brownout
from brownout import authoring
from brownout.check.registry import CHECKERS
from brownout.plan.near import UnknownName
from brownout.tables import TABLES, filled

ROOT = Path(__file__).parents[2]


PAPERS = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/extending.md",
    "docs/ci.md",
)
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_tables_are_those_of_the_registries(path: Path) -> None:
    assert filled(path.read_text()) == path.read_text(), f"write them again: python -m brownout.tables docs/{path.name}"


def test_each_table_stands_in_a_document() -> None:
    marks = [mark for path in DOCUMENTS for mark in re.findall("<!-- table: (.*) -->", path.read_text())]
    assert sorted(marks) == sorted(TABLES)
    assert f"| `drained()` | {CHECKERS['drained'].row} | undrained (time) |" in TABLES["promises"]()
    with pytest.raises(UnknownName, match="did you mean 'faults'"):
        filled("<!-- table: fautls -->\n\n<!-- end of fautls -->")


def test_the_readme_names_what_authors_can_import() -> None:
    text = (ROOT / "README.md").read_text()
    for name in re.findall(r"`(\w+)\(", text):
        if name not in ("settings", "application"):
            assert hasattr(brownout, name) or name in ("jobs_end_once", "create_app"), name


@pytest.mark.parametrize("paper", PAPERS)
def test_every_path_in_a_paper_exists(paper: str) -> None:
    paths = re.findall(
        r"\]\(([^)#]+)\)|`((?:tests|docs|examples|system|brownout)/[\w./*-]+)`", (ROOT / paper).read_text()
    )
    for target in filter(lambda path: not path.startswith("http"), (link or code for link, code in paths)):
        assert any(ROOT.glob(target.rstrip("/"))), target


@pytest.mark.parametrize("paper", PAPERS)
def test_every_environment_in_a_paper_is_one_of_tox(paper: str) -> None:
    config = ConfigParser(interpolation=None)
    config.read(ROOT / "tox.ini")
    for names in re.findall(r"tox (?:-q )?-e ([\w,]+)", (ROOT / paper).read_text()):
        for name in names.split(","):
            assert config.has_section(f"testenv:{name}"), name


def test_every_path_that_tox_runs_exists() -> None:
    """A layer whose folder was renamed, or a file that is measured and gone, would be an error in CI alone."""
    words = {word for word in (ROOT / "tox.ini").read_text().split() if re.match(r"(tests|docs)/", word)}
    assert {"tests/unit", "tests/kit"} <= words
    assert [word for word in words if not (ROOT / word).exists()] == []


def test_contributing_has_a_line_for_each_environment_that_a_change_must_pass() -> None:
    config = ConfigParser(interpolation=None)
    config.read(ROOT / "tox.ini")
    paper = (ROOT / "CONTRIBUTING.md").read_text()
    told = {name for names in re.findall(r"tox (?:-q )?-e ([\w,]+)", paper) for name in names.split(",")}
    assert {name.strip() for name in config["tox"]["env_list"].split(",")} | {"coverage"} <= told


def test_dir_lists_what_authors_can_import() -> None:
    assert dir(brownout) == sorted(authoring.__all__)
    assert {"Lab", "kill", "point", "at_least_once"} <= set(dir(brownout))
