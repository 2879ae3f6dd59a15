"""Maps of an HTTP submission that nobody wrote Python for, on real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from brownout.explore.maps.faultmap import FaultMap
from tests.kit.small_project import ROOT

CLI = (sys.executable, "-m", "brownout.cli")
LOST = "worker->broker/ZADD#1/before-cut"
GOOD = "api->broker/LPUSH#1/before-cut"
STATUS = ("--status", "/orders/{id}/state")
ORDER = ("--post", "/orders", "--json", '{"type": 1}')
PROJECT = """
[parts]
app = "shop:celery"
api = "uvicorn shop:app"
ready = "/docs"
env = {SHOP_REDIS = "{broker}", SHOP_RESULTS = "{backend}"}
"""
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project; its path is short, because unix sockets' names must be."""
    found = tmp_path_factory.mktemp("h")
    (found / "tmp").mkdir()
    shutil.copy(ROOT / "tests" / "kit" / "shop_over_http.py", found / "shop.py")
    (found / "brownout.toml").write_text(PROJECT)
    return found


@pytest.fixture
def brownout(folder: Path) -> Command:
    env = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")}

    def run(*argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        whole = env | more
        return subprocess.run([*CLI, *argv], cwd=folder, env=whole, capture_output=True, text=True, timeout=150)

    return run


def outcomes(folder: Path, done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Of each cell of the map that was stored: lost, or good."""
    assert (folder / "map.json").exists(), done.stdout + done.stderr
    found = FaultMap.load(folder / "map.json")
    assert found.controls.bad == (), found
    return {found.names[result.cell]: "good" if result.verdict == "valid" else result.primary for result in found.cells}


@pytest.mark.parametrize(
    "request_of",
    [
        (*ORDER, *STATUS),  # the id is in the location; the API publishes a second task
        ORDER,  # nobody reads a status
        ("--post", "/forms", "--form", "kind=1", *STATUS),  # the id of the task, deep in the body
    ],
    ids=["location", "no status", "form"],
)
def test_two_cells_of_a_request(brownout: Command, folder: Path, request_of: tuple[str, ...]) -> None:
    done = brownout("map", LOST, GOOD, *request_of, "--save", str(folder / "map.json"))
    assert outcomes(folder, done) == {LOST: "lost", GOOD: "good"}, done.stdout + done.stderr
    assert done.returncode == 1


def test_an_answer_without_an_id(brownout: Command, folder: Path) -> None:
    source = (folder / "shop.py").read_text().replace('response.headers["location"]', "_")
    (folder / "shop.py").write_text(source)
    done = brownout("map", LOST, *ORDER, *STATUS)
    assert done.returncode == 2
    assert 'POST /orders was answered without an id: {"message":"queued"}' in done.stderr
