"""The documents say what the code does."""

import inspect
import re
from pathlib import Path

import brownout
from brownout.check import promises
from brownout.faults import __all__ as faults
from brownout.history.event import KINDS

ROOT = Path(__file__).parents[2]


def test_the_table_of_promises_is_that_of_the_code() -> None:
    shown = re.findall(r"^\| `(\w+)\((.*)\)` \| (.*) \|$", (ROOT / "docs/promises.md").read_text(), re.MULTILINE)
    there = []
    for name in promises.__all__:
        function = getattr(promises, name)
        if name != "recovery_bound":
            arguments = [
                each.name if each.default is each.empty else f"{each.name}={each.default!r}"
                for each in inspect.signature(function).parameters.values()
            ]
            there.append((name, ", ".join(arguments), (inspect.getdoc(function) or "").partition("\n")[0]))
    assert shown == there


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


def test_the_table_of_events_is_that_of_the_code() -> None:
    text = (ROOT / "docs/promises.md").read_text().partition("## Events")[2]
    shown = dict(re.findall(r"^\| (\w+) \| (.*) \|$", text, re.MULTILINE))
    assert shown.pop("source") == "kinds"
    assert shown == {source: ", ".join(kinds) for source, kinds in KINDS.items()}
