"""The map of one application does not depend on where the kit is installed, as long as the versions agree."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from brownout.explore.maps.faultmap import FaultMap
from tests.examples.machine import EXAMPLES
from tests.kit.own_projects import ALONE, Project, environment

FEW = ("--point", "LPUSH", "--point", "ZADD", "--actions", "cut")
SAME = {"recovered": "once"}  # whether a worker is fast enough to need no recovery is a matter of time


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(Path(shutil.copytree(EXAMPLES / "flat", tmp_path_factory.mktemp("e") / "flat")))


def mapped(project: Project, name: str, *words: str) -> FaultMap:
    found = project.brownout("map", *FEW, "--json", f"{name}.json", *words)
    assert found.code == 1, found.out + found.err
    (file,) = project.folder.glob(f"{name}*.json")
    return FaultMap.load(file)


def cells(map_: FaultMap) -> dict[str, tuple[str, frozenset[str]]]:
    """The verdict and the words of each cell."""
    return {
        str(cell.cell): (cell.verdict, frozenset(SAME.get(word, word) for word in cell.words)) for cell in map_.cells
    }


def test_the_kit_inside_and_outside_of_the_applications_environment(project: Project, tmp_path: Path) -> None:
    inside = mapped(project, "inside")
    other = environment(tmp_path / "environment")
    with (project.folder / "worker.py").open("a") as module:
        module.write(ALONE.replace('"tests", ', ""))  # nothing of the kit can be imported; the example has tests, too
    outside = mapped(project, "outside", "--python", str(other))
    assert inside.versions == outside.versions
    assert cells(inside) == cells(outside)
    assert not inside.controls.bad
    assert not outside.controls.bad
    assert {"lost", "duplicate"} <= {word for _, words in cells(inside).values() for word in words}
    assert project.left == []
