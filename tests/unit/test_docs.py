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


DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
#: Files of a reader's own project, which pages tell of.
READERS = {f"tests/chaos/{name}.py" for name in ("conftest", "test_first", "test_receipt")}
PAPERS = sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_tables_are_those_of_the_registries(path: Path) -> None:
    assert filled(path.read_text()) == path.read_text(), f"write them again: python -m brownout.tables docs/{path.name}"


def test_each_table_stands_in_a_document() -> None:
    marks = [mark for path in DOCUMENTS for mark in re.findall("<!-- table: (.*) -->", path.read_text())]
    assert sorted(marks) == sorted(TABLES)
    assert f"| `drained()` | {CHECKERS['drained'].row} | undrained (time) |" in TABLES["promises"]()
    with pytest.raises(UnknownName, match="did you mean 'faults'"):
        filled("<!-- table: fautls -->\n\n<!-- end of fautls -->")


@pytest.mark.parametrize("paper", ["README.md", "docs/scenarios.md"])
def test_a_paper_names_what_authors_can_import(paper: str) -> None:
    names = {*re.findall(r"`(\w+)\(", (ROOT / paper).read_text())} - {"jobs_end_once", "fault_map"}
    assert [name for name in sorted(names) if not hasattr(brownout, name)] == []
    assert {"point", "must_show"} <= names


def headings(path: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("paper", PAPERS)
def test_every_path_in_a_paper_exists(paper: str) -> None:
    """Links are relative to the page, paths in backticks to the root."""
    text, folder = (ROOT / paper).read_text(), (ROOT / paper).parent
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not link.startswith("http"):
            path, _, anchor = link.partition("#")
            target = folder / path if path else ROOT / paper
            assert target.exists(), link
            assert not anchor or anchor in headings(target), link
    if not paper.startswith("docs/evidence/"):  # those name what was there when they were measured
        for code in re.findall(r"`((?:tests|docs|examples|system|brownout)/[\w./*-]+)`", text):
            assert code in READERS or any(ROOT.glob(code.rstrip("/"))), code


def test_the_three_papers_are_read_in_fifteen_minutes() -> None:
    """At 240 words a minute."""
    papers = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md")
    assert sum(len((ROOT / paper).read_text().split()) for paper in papers) <= 15 * 240


def test_the_index_has_each_page_once() -> None:
    links = re.findall(r"\]\(([\w/-]+\.md)\)", (ROOT / "docs" / "README.md").read_text())
    pages = {path.name for path in DOCUMENTS} - {"README.md"}
    assert sorted(links) == sorted(pages | {"maps/README.md", "maps/mechanisms.md", "evidence/README.md"})


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


def test_what_is_skipped_without_postgresql_runs_on_it() -> None:
    config = ConfigParser(interpolation=None)
    config.read(ROOT / "tox.ini")
    tests = [
        path for path in (ROOT / "tests/unit").glob("test_system*.py") if "skipif(not ON_POSTGRES" in path.read_text()
    ]
    commands = config["testenv:postgres"]["commands"]
    assert len(tests) > 1
    assert [path.name for path in tests if f"tests/unit/{path.name}" not in commands] == []


def test_mypy_reads_each_folder_that_has_python() -> None:
    config = ConfigParser(interpolation=None)
    config.read(ROOT / "tox.ini")
    read = {*re.findall(r"[\w.]+", config["testenv:typing"]["commands"].partition("posargs:")[2])}
    files = [path for pattern in ("*.py", "*/*.py", "*/*/*.py") for path in ROOT.glob(pattern)]
    found = {path.relative_to(ROOT).parts[0] for path in files if not path.relative_to(ROOT).parts[0].startswith(".")}
    assert {"benchmarks", "brownout", "conftest.py"} <= found - {"build", "dist"} <= read


def test_contributing_has_a_line_for_each_environment_that_a_change_must_pass() -> None:
    config = ConfigParser(interpolation=None)
    config.read(ROOT / "tox.ini")
    paper = (ROOT / "CONTRIBUTING.md").read_text()
    told = {name for names in re.findall(r"tox (?:-q )?-e ([\w,]+)", paper) for name in names.split(",")}
    assert {name.strip() for name in config["tox"]["env_list"].split(",")} | {"coverage"} <= told


def test_dir_lists_what_authors_can_import() -> None:
    assert dir(brownout) == sorted(authoring.__all__)
    assert {"Lab", "kill", "point", "at_least_once"} <= set(dir(brownout))
