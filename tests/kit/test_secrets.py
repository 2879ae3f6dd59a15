"""A secret in every place where one may be: no file of the store and no report has any of them."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from brownout.history.secrets import forms
from tests.kit.small_project import ROOT, SCENARIOS

#: Where each secret is planted. Each has characters that JSON, URLs and base64 write in another way.
SECRETS = {name: f"{name}-é/+'s3cr3t" for name in ("query", "body", "args", "setting", "variable", "part", "file")}
SECRETS |= {name: f"{name}-s3cr3t.0123" for name in ("bearer", "header", "inherited", "url")}
#: The application shows each secret that it gets, in every way that leads to a file.
APPLICATION = """
import asyncio, json, os, sqlite3, sys, time
from celery import Celery
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

celery = Celery("small", broker=os.environ["SMALL_BROKER"], backend=os.environ["SMALL_BACKEND"])
celery.conf.update(task_track_started=True)
NAMES = ("SMALL_TOKEN", "SMALL_URL", "SMALL_PASSWORD", "SMALL_SECRET", "SMALL_KEY")


def show(what, *values):
    text = " ".join([what, *map(str, values), *(os.environ.get(name, "") for name in NAMES)])
    print(text, json.dumps(text), repr(text), file=sys.stderr, flush=True)
    with open(os.path.join(os.path.dirname(os.environ["SMALL_EFFECTS"]), what), "ab") as file:
        file.write(text.encode() + b"\\0")
    with sqlite3.connect(os.path.join(os.path.dirname(os.environ["SMALL_EFFECTS"]), "jobs.db"), timeout=30) as store:
        store.execute("CREATE TABLE IF NOT EXISTS jobs (text)")
        store.execute("INSERT INTO jobs VALUES (?)", [text])
    return text


@celery.task(name="small.work", bind=True)
def work(self, lasting=0, *more, account=None):
    text = show("worker", account, more, celery.conf.result_backend, celery.conf.security_key_password)
    time.sleep(lasting)
    line = json.dumps({"at": time.monotonic_ns(), "task": self.request.id, "note": text, "password": "x"}) + "\\n"
    with open(os.environ["SMALL_EFFECTS"], "ab", 0) as file:
        file.write(line.encode())
    return text


async def ready(request):
    return JSONResponse({})


async def order(request):
    body = await request.json()
    text = await asyncio.to_thread(show, "api", request.url, request.headers, body)
    task = await asyncio.to_thread(work.delay, 0.3, account=body)
    if request.headers.get("x-breaks"):
        raise RuntimeError(text)
    return JSONResponse({"task_id": task.id, "text": text}, 202)


async def status(request):
    found = celery.AsyncResult(request.path_params["id"])
    return JSONResponse({"task_status": found.state, "task_result": str(await asyncio.to_thread(lambda: found.result))})


api = Starlette(routes=[Route("/", ready), Route("/orders", order, methods=["POST"]), Route("/jobs/{id}", status)])
"""
CONFTEST = """
import pytest
from brownout import Application, ledger


@pytest.fixture(scope="session")
def application():
    return Application(
        celery="small:celery", api="small:api", status="/jobs/{task}", env_file=".env",
        effects=ledger("effects.ndjson"),
        env={"SMALL_BROKER": "{broker}", "SMALL_BACKEND": "{backend}", "SMALL_EFFECTS": "{files}/effects.ndjson",
             "SMALL_TOKEN": VARIABLE, "SMALL_URL": f"pg://me:{URL}@h/db"},
        part_env={"worker": {"SMALL_SECRET": PART}},
    )
"""
SCENARIO = """
import os

@pytest.mark.chaos
def test_lost(lab):
    lab.load(post("/orders?token=" + QUERY, json={"password": BODY, "n": "{n}"}, every="50ms", count=3,
                  headers={"Authorization": "Bearer " + BEARER, "X-Api-Key": HEADER}))
    lab.load(post("/orders", json={"password": BODY}, headers={"X-Breaks": "1"}, every="50ms", count=1))
    lab.load(submit("small.work", 0.3, {"access_token": ARGS}, account={"secret": ARGS}, every="50ms", count=2))
    lab.topology(settings={"security_key_password": SETTING})
    lab.inject(kill_child(), on="worker-1", when=started(nth=2, delay="150ms"))
    lab.promise(at_least_once(or_failure=False))
    outcome = lab.run()
    assert BEARER not in outcome.result.plan.to_json()
    outcome.must_hold()
"""
LOST = "worker->broker/ZADD#1/before-cut"
OWN = {"small.py", "conftest.py", "test_small.py", ".env"}  # what the project's owner wrote


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project; its path is short, because unix sockets' names must be."""
    folder = tmp_path_factory.mktemp("s")
    (folder / "tmp").mkdir()
    named = "".join(f"{name.upper()} = {value!r}\n" for name, value in SECRETS.items())
    (folder / "small.py").write_text(APPLICATION)
    (folder / "conftest.py").write_text(named + CONFTEST)
    (folder / "test_small.py").write_text(SCENARIOS + named + SCENARIO)
    (folder / ".env").write_text(f'SMALL_KEY="{SECRETS["file"]}"\n')
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:asyncio -p no:schemathesis -p no:cacheprovider\n")
    return folder


def run(project: Path, *words: str, code: int, **env: str) -> str:
    more = {"PYTHONPATH": str(ROOT), "TMPDIR": str(project / "tmp"), "GITHUB_ACTIONS": "true"}
    more |= {"GITHUB_STEP_SUMMARY": str(project / "summary.md"), "PYTHONDONTWRITEBYTECODE": "1"}
    whole = os.environ | more | {"SMALL_PASSWORD": SECRETS["inherited"]} | env
    argv = [sys.executable, "-m", *words]
    done = subprocess.run(argv, cwd=project, env=whole, capture_output=True, text=True, timeout=400, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    return said


def found(project: Path, said: str) -> Iterator[str]:
    """Each secret that stands in a file that was written, or in what was said, and where."""
    texts = {str(path.relative_to(project)): path.read_bytes() for path in project.rglob("*") if path.is_file()
             and path.name not in OWN}  # fmt: skip
    for place, data in {**texts, "terminal": said.encode()}.items():
        for name, secret in SECRETS.items():
            if any(form.encode() in data for form in forms(secret)):
                yield f"{name} in {place}"


def test_no_secret_of_a_scenario_is_kept(project: Path) -> None:
    said = run(project, "pytest", "-q", "--junitxml=junit.xml", code=1)
    assert "lost" in said
    (place,) = project.glob("store/test_small.py-test_lost/2*")
    shown = "".join(path.read_text() for path in (place / "log").glob("*.log"))
    assert shown.count("***") > len(SECRETS)  # the application has shown them
    assert {*found(project, said)} == set()

    said = run(project, "brownout.cli", "report", "store", code=0)
    said += run(project, "brownout.cli", "pin", str(place), code=0)
    assert "(left out)" in said or "***" in said
    said += (replayed := run(project, "brownout.cli", "replay", str(place), "--tries", "5", code=1))
    assert "Authorization from the test" in replayed
    assert "reproduced: lost" in replayed
    assert {*found(project, said)} == set()


def test_no_secret_of_a_map_is_kept(project: Path) -> None:
    body = f'{{"password": "{SECRETS["body"]}"}}'
    asked = [
        *("--app", "small:celery", "--api", "uvicorn small:api", "--post", f"/orders?token={SECRETS['query']}"),
        *("--json", body, "--header", f"Authorization:Bearer {SECRETS['bearer']}", f"X-Api-Key:{SECRETS['header']}"),
        *("--status", "/jobs/{id}", "--env", "SMALL_BROKER={broker}", "SMALL_BACKEND={backend}"),
        *("SMALL_EFFECTS={files}/effects.ndjson", f"SMALL_TOKEN={SECRETS['variable']}"),
        *(f"SMALL_URL=pg://me:{SECRETS['url']}@h/db", "--set", f"security_key_password={SECRETS['setting']}"),
    ]
    files = ["--html", "map.html", "--markdown", "map.md", "--save", "map.json"]
    said = run(project, "brownout.cli", "map", LOST, *asked, *files, code=1)
    assert "security_key_password=…" in said
    assert {*found(project, said)} == set()

    (place,) = (path.parent for path in project.glob("store/*/2*/plan.json"))
    asks = run(project, "brownout.cli", "replay", str(place), code=2)
    for name in ("Authorization", "X-Api-Key", "password", "security_key_password", "SMALL_TOKEN", "SMALL_URL"):
        assert name in asks
    given = {"Authorization": f"Bearer {SECRETS['bearer']}", "X-Api-Key": SECRETS["header"],
             "password": SECRETS["body"], "path": f"/orders?token={SECRETS['query']}"}  # fmt: skip
    secrets = [f"{name}={value}" for name, value in given.items()]
    env = {"BROWNOUT_SECRET_SECURITY_KEY_PASSWORD": SECRETS["setting"], "SMALL_TOKEN": SECRETS["variable"],
           "SMALL_URL": f"pg://me:{SECRETS['url']}@h/db"}  # fmt: skip
    again = run(project, "brownout.cli", "replay", str(place), "--secret", *secrets, code=1, **env)
    assert "SMALL_TOKEN from the environment" in again
    assert {*found(project, said + asks + again)} == set()


def test_what_is_looked_for_would_be_found(project: Path) -> None:
    (project / "store").mkdir()
    secret = SECRETS["body"]
    (project / "store" / "dump").write_bytes(base64.b64encode(b"{" + secret.encode()))
    assert [*found(project, f"password is {SECRETS['url']}")] == ["body in store/dump", "url in terminal"]
    shutil.rmtree(project / "store")
