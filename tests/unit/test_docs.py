"""The documents say what the code does."""

import re
from pathlib import Path

import pytest

import brownout
from brownout.check.registry import CHECKERS
from brownout.faults import __all__ as faults
from brownout.plan.near import UnknownName
from brownout.tables import TABLES, filled

ROOT = Path(__file__).parents[2]


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
    assert f"under {len(faults)} faults" in text


def test_every_path_in_the_readme_exists() -> None:
    for path in re.findall(
        r"\]\(([^)#]+)\)|`((?:tests|docs|examples|system|brownout)/[\w./-]+)`", (ROOT / "README.md").read_text()
    ):
        target = path[0] or path[1]
        assert target.startswith("http") or (ROOT / target).exists(), target
