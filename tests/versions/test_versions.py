"""One small application under the versions of Celery that are in use, each in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from brownout.explore.maps.faultmap import FaultMap
from tests.kit.leftovers import MARK
from tests.kit.own_projects import ALONE, Project
from tests.versions.environments import Row, environment

LOST = "worker->broker/ZADD#1/before-cut"
SHOP = f"""
{ALONE}
import os
from celery import Celery

app = Celery("shop", backend="redis://localhost", include=["tasks"])
"""
TASKS = """
from celery import shared_task

@shared_task(name="shop.add", bind=True)
def add(self, a, b=0):
    return a + b
"""


ROWS = (
    Row("5.1.2", "5.1.0", "3.5.3", "3.8"),
    Row("5.2.7", "5.2.4", "4.3.6", "3.9", gevent=True),
    Row("5.3.6", "5.3.7", "4.6.0", "3.10"),
    Row("5.4.0", "5.4.2", "5.0.8", "3.11"),
    Row("5.5.3", "5.5.4", "5.2.1", "3.12"),
    Row("5.6.3", "5.6.2", "6.4.0", "3.13"),
    Row("5.7.0", "5.7.0", "8.1.0", "3.13"),
)


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("v"))
    made.write(shop=SHOP, tasks=TASKS)
    return made


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_small_map_with_the_versions_of_the_time(project: Project, row: Row) -> None:
    python = environment(row)
    asked = ("map", "--worker", "celery -A shop worker", "--task", "shop.add", "--args", "[1]")
    few = ("--point", "worker->", "--actions", "cut", "held")
    found = project.brownout(*asked, *few, "--python", str(python), "--json", "map.json")
    assert found.code == 1, found.out + found.err
    (file,) = project.folder.glob("map*.json")
    map_ = FaultMap.load(file)
    assert [map_.versions[name] for name in ("celery", "kombu", "redis")] == [row.celery, row.kombu, row.redis]
    assert map_.versions["python"].startswith(f"{row.python}.")
    assert not map_.controls.bad
    assert not [cell for cell in map_.cells if cell.verdict == "unknown"], found.out
    assert map_.result(LOST).words == ("lost",)
    bad = sum(cell.verdict == "invalid" for cell in map_.cells)
    sys.stdout.write(
        f"\n| {row.celery} | {row.kombu} | {row.redis} | {map_.versions['python']} | {bad} of {len(map_.cells)} |\n"
    )
    assert project.left == []


@pytest.mark.parametrize("pool", ["gevent", "threads", "solo"])
def test_other_pools(project: Project, pool: str) -> None:
    (row,) = (row for row in ROWS if row.gevent)
    worker = f"celery -A shop worker -P {pool} -c 5"
    asked = ("map", LOST, "--worker", worker, "--task", "shop.add", "--args", "[1]", "--python", str(environment(row)))
    found = project.brownout(*asked)
    assert found.code == 1, found.out + found.err
    assert f"✗ {LOST}  invalid · lost ×1" in found.out
    assert project.left == []


#: With the lowest versions of what the kit needs, as a project may have pinned them.
INSIDE = (Row("5.3.6", "5.3.7", "4.6.0", "3.11", kit=True), Row("5.4.0", "5.4.2", "5.0.8", "3.12", kit=True))
SCENARIO = """
import pytest
from brownout import Application, at_least_once, kill, started, submit

@pytest.fixture
def application():
    return Application(celery="shop:app", env={"CELERY_BROKER_URL": "{broker}"})

def test_early_acks(lab):
    lab.load(submit("shop.slow", "{key}", every="20ms", count=4))
    lab.inject(kill(), on="worker-1", when=started(nth=2, delay="100ms"))
    lab.promise(at_least_once(proof="ended"))
    lab.run().must_hold()
"""
SLOW = """
import time
from celery import shared_task

@shared_task(name="shop.slow")
def slow(key):
    time.sleep(0.5)
"""


@pytest.mark.parametrize("row", INSIDE, ids=str)
def test_the_kit_lives_in_the_applications_environment(tmp_path_factory: pytest.TempPathFactory, row: Row) -> None:
    project = Project(tmp_path_factory.mktemp("v"))
    project.write(
        shop=SHOP.replace(ALONE, "").replace('backend="redis://localhost", ', ""),
        tasks=TASKS + SLOW,
        test_shop=SCENARIO,
    )
    (project.folder / "tmp").mkdir()
    programs = environment(row) / "bin"
    env = os.environ | {MARK: str(project.folder), "COLUMNS": "100", "TMPDIR": str(project.folder / "tmp")}
    env.pop("VIRTUAL_ENV", None)  # that of these tests

    def ran(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(programs / words[0]), *words[1:]]
        return subprocess.run(
            command, cwd=project.folder, env=env, capture_output=True, text=True, check=False, timeout=120
        )

    found = ran("brownout", "map", LOST, "--worker", "celery -A shop worker", "--task", "shop.add", "--args", "[1]")
    assert found.returncode == 1, found.stdout + found.stderr
    assert f"celery {row.celery}, kombu {row.kombu}, redis {row.redis}," in found.stdout + found.stderr
    assert f"✗ {LOST}  invalid · lost ×1" in found.stdout
    found = ran("pytest", "-p", "no:cacheprovider")
    assert found.returncode == 1, found.stdout + found.stderr
    assert "✗ test_early_acks  invalid · lost ×1" in found.stdout
    assert project.left == []
