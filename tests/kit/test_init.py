"""`brownout init` and what follows, on real processes: a doctor, a map and a scenario, with nothing written by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.own_projects import ALONE, environment
from tests.kit.small_project import ROOT

SHOP = f"""{ALONE.replace('"tests", ', "")}
import os, time

from celery import Celery
from fastapi import FastAPI
from pydantic import BaseModel

celery = Celery("shop", broker=os.environ["SHOP_BROKER"], backend=os.environ["SHOP_RESULTS"])
app = FastAPI()


class Order(BaseModel):
    kind: int
    note: str | None = None


@celery.task
def send(kind):
    time.sleep(0.3)
    return kind


@app.post("/orders")
def order(order: Order):
    return {{"id": send.delay(order.kind).id}}


@app.get("/orders/{{number}}")
def state(number: str):
    return {{"state": celery.AsyncResult(number).state}}
"""
LOST = "worker->broker/ZADD#1/before-cut"


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an environment of its own, in a folder of a larger one.

    Its path is short, because unix sockets' names must be.
    """
    found = tmp_path_factory.mktemp("i") / "shop"
    found.mkdir()
    environment(found / ".venv")
    (found / "shop.py").write_text(SHOP)
    (found.parent / "pytest.ini").touch()
    return found


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, env=env, capture_output=True, text=True, timeout=150
    )


def test_three_commands_without_a_line_of_ones_own(folder: Path) -> None:
    done = run(folder, "brownout.cli", "init")
    assert done.returncode == 0, done.stderr
    done = run(folder, "brownout.cli", "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "POST /orders is done once" in done.stdout

    done = run(folder, "brownout.cli", "map", LOST)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗ worker->broker/ZADD#1/before-cut  invalid · lost ×1" in done.stdout

    done = run(folder.parent, "pytest", "shop/tests/chaos/test_first.py", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "lost ×1" in done.stdout, done.stdout  # Celery's defaults lose it
