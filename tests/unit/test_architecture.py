"""Imports inside brownout/ point down only, folders stay small, and so do files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

KIT = Path(__file__).parents[2] / "brownout"

#: From top to bottom. A package or module imports from itself and from what stands below it.
LAYERS = (
    *(
        "tables",
        "cli",
        "shrinking",
        "capsules",
        "__init__",
        "authoring",
        "map_cells",
        "pytest_plugin",
        "pytest_python",
        "pytest_redis",
        "pytest_options",
        "extend",
        "lab",
    ),
    *("project", "lint", "report", "explore", "run", "workload", "faults"),
    *("subject", "wire", "check", "plan", "history", "probes"),
)
FOLDER = 15  # modules in one folder, `__init__` left out
FILE = 300  # lines


def home(file: Path) -> str:
    """The package, or the module at the top, that a file belongs to."""
    return file.relative_to(KIT).parts[0].removesuffix(".py")


def imported(source: str, package: tuple[str, ...]) -> Iterator[str]:
    """What a module of `package` imports of brownout, inside functions and for type checkers as well."""
    for node in ast.walk(ast.parse(source)):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            near = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*near, *filter(None, [node.module])])
            found = [f"{module}.{name.name}" for name in node.names]
        for name in found:
            top, *below = name.split(".")
            if top == "brownout":
                # `from brownout import latency` names no module: the top of the package gives it.
                yield below[0] if below and below[0] in LAYERS else "__init__"


def upwards() -> Iterator[tuple[str, str, str]]:
    """Each import that does not point down: from where, to where, and in which file."""
    for file in sorted(KIT.rglob("*.py")):
        own, package = home(file), ("brownout", *file.relative_to(KIT).parent.parts)
        for other in imported(file.read_text(), package):
            if LAYERS.index(other) < LAYERS.index(own):
                yield own, other, str(file.relative_to(KIT))


def test_every_import_points_down() -> None:
    assert list(upwards()) == []


def test_every_package_has_its_place() -> None:
    assert {home(file) for file in KIT.rglob("*.py")} == set(LAYERS)
    assert len(LAYERS) == len(set(LAYERS))


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
from __future__ import annotations
import json, brownout.run.trial
from brownout import plan, latency
from brownout.wire.tcp.edge import Edge
from .. import report
from .near import other
if TYPE_CHECKING:
    from brownout.subject import ports
def late():
    import brownout
    from brownout.check.verdict import Verdict
"""
    assert sorted(imported(source, ("brownout", "faults"))) == sorted(
        ["run", "plan", "__init__", "wire", "report", "faults", "subject", "__init__", "check"]
    )


def test_no_folder_is_full() -> None:
    modules = [file for file in KIT.rglob("*.py") if file.name != "__init__.py"]
    folders = [file.parent.relative_to(KIT).as_posix() for file in modules]
    assert {folder for folder in folders if folders.count(folder) > FOLDER} == set()


def test_a_folder_to_which_contributors_add_a_file_has_room() -> None:
    told = re.findall(r"`brownout/([a-z_/]+)/`", (KIT.parent / "CONTRIBUTING.md").read_text())
    assert {"check/promises", "cli", "faults", "report"} <= set(told)
    modules = {folder: [f for f in (KIT / folder).glob("*.py") if f.name != "__init__.py"] for folder in told}
    assert {folder for folder, files in modules.items() if len(files) >= FOLDER} == set()


def test_no_file_is_long() -> None:
    files = {file.relative_to(KIT).as_posix(): len(file.read_text().splitlines()) for file in KIT.rglob("*.py")}
    assert {name for name, lines in files.items() if lines > FILE} == set()
