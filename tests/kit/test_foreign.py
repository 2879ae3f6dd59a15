"""The kit and the application live in different environments: only the probes come into the application's processes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from brownout.explore.maps.faultmap import FaultMap
from brownout.subject.application import Application, surface
from tests.kit.own_projects import ALONE, Project, environment

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfds (Linux)")

LOST = "worker->broker/ZADD#1/before-cut"
GOOD = "worker->broker/ZREM#1/after-cut"
SHOP = f"""
{ALONE}
import sys
from celery import Celery

celery = Celery("shop", include=["tasks"])
"""
TASKS = """
import sys
from shop import celery

@celery.task(name="shop.add")
def add(a, b=0):
    print("run by", sys.executable, file=open("ran-by", "a"))
    return a + b
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("foreign") / "environment")


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("p"))
    made.write(shop=SHOP, tasks=TASKS)
    return made


def test_a_map_is_drawn_with_the_applications_python(project: Project, foreign: Path) -> None:
    """Worker, caller, surface and forker: the module refuses to be imported beside the kit's packages."""
    asked = ("map", LOST, GOOD, "--app", "shop:celery", "--task", "shop.add", "--args", "[1]")
    found = project.brownout(*asked, "--python", str(foreign), "--json", "map.json")
    assert found.code == 1, found.err
    assert f"✗ {LOST}  invalid · lost ×1" in found.out
    assert f"✓ {GOOD}  valid · " in found.out
    assert {line.split()[-1] for line in (project.folder / "ran-by").read_text().splitlines()} == {
        str(foreign / "bin" / "python")
    }
    kept = FaultMap.load(next(project.folder.glob("map*.json")))
    assert {"python", "celery", "kombu", "redis", "fastapi"} <= kept.versions.keys()
    assert f"python {kept.versions['python']}, celery {kept.versions['celery']}, " in found.err
    assert f"; {foreign / 'bin' / 'python'}\n" in found.err
    assert f"--python {foreign}" in found.out, "the command that tries the cell again"
    assert project.left == []


def test_the_projects_own_environment_is_the_default(project: Project, foreign: Path) -> None:
    (project.folder / ".venv").symlink_to(foreign)
    found = project.brownout("list", "points", "--app", "shop", "--task", "shop.add", "--args", "[1]")
    assert found.code == 0, found.err
    assert f"; {project.folder / '.venv' / 'bin' / 'python'}\n" in found.err
    assert project.left == []


def test_the_kit_inside_and_outside_of_the_environment_agrees(project: Project, foreign: Path) -> None:
    """The same versions in both: each point and each word is the same."""
    project.write(shop=SHOP.replace(ALONE, ""))
    maps = []
    for python in ([], ["--python", str(foreign)]):
        asked = ["map", "--app", "shop", "--task", "shop.add", "--args", "[1]", "--point", "worker->broker"]
        found = project.brownout(*asked, "--actions", "cut", *python, "--json", "map.json")
        assert found.code == 1, found.err
        (file,) = project.folder.glob("map*.json")
        maps.append(FaultMap.load(file))
        file.unlink()
    inside, outside = ({cell.cell: cell.words for cell in map_.cells} for map_ in maps)
    assert inside == outside
    assert maps[0].trace == maps[1].trace
    assert maps[0].versions == maps[1].versions


def test_a_stored_trial_is_replayed_with_that_python(project: Project, foreign: Path) -> None:
    asked = ("map", LOST, "--app", "shop", "--task", "shop.add", "--args", "[1]", "--python", str(foreign))
    (replay,) = re.findall(r"brownout (replay \S+)", project.brownout(*asked).err)
    (project.folder / "ran-by").unlink()
    capsule = project.folder / replay.split()[1]
    versions = json.loads((capsule / "env.json").read_text())
    told = surface(Application(celery="shop", python=str(foreign / "bin" / "python")), project.folder).versions
    assert [versions[name] for name in ("python", "celery")] == [told["python"], told["celery"]]
    found = project.brownout(*replay.split())
    assert found.code == 1, found.out + found.err
    assert "reproduced" in found.out
    assert str(foreign) in (project.folder / "ran-by").read_text()


def test_the_stock_application_runs_with_another_python(project: Project, foreign: Path) -> None:
    found = project.brownout("map", LOST, "--python", str(foreign))
    assert found.code == 1, found.err
    assert f"✗ {LOST}  invalid · lost ×1" in found.out
    assert f"; {foreign / 'bin' / 'python'}\n" in found.err


def test_what_is_no_environment_is_one_line(project: Project) -> None:
    found = project.brownout("map", "--app", "shop", "--task", "shop.add", "--python", "nowhere")
    assert (found.code, found.out, found.err.count("\n")) == (2, "", 1)
    assert "nowhere is no Python" in found.last
