"""A project of somebody else, as small as can be: one task, one slow route, a `conftest.py`, and its scenarios."""

import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]

APPLICATION = """
import asyncio, json, os, time
from celery import Celery
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

time.sleep(float(os.environ.get("SMALL_LINGERS", 0)))
celery = Celery("small", broker=os.environ["SMALL_BROKER"])
celery.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, task_ignore_result=True)


@celery.task(name="small.work", bind=True)
def work(self, lasting=0):
    time.sleep(lasting)
    line = json.dumps({"at": time.monotonic_ns(), "task": self.request.id, "name": "work"}) + "\\n"
    with open(os.environ["SMALL_EFFECTS"], "ab", 0) as file:
        file.write(line.encode())


async def ready(request):
    return JSONResponse({})


async def slow(request):
    await asyncio.sleep(60)


api = Starlette(routes=[Route("/", ready), Route("/slow", slow, methods=["POST"])])
"""

CONFTEST = """
import pytest
from brownout import Application, ledger


@pytest.fixture(scope="session")
def application():
    return Application(
        celery="small:celery",
        api="small:api",
        env={"SMALL_BROKER": "{broker}", "SMALL_EFFECTS": "{files}/effects.ndjson"},
        effects=ledger("effects.ndjson"),
    )
"""

#: What the tests of the reports put in the place of a trial: `forged` says what comes out of it.
FORGED = '''
import pytest
from brownout.check.verdict import Anomaly, Verdict
from brownout.history.event import Event
from brownout.history.view import History
from brownout.run.events import Phase, TrialEnded, trying
from brownout.run.result import Result

MS = 1_000_000


def result(plan, setting, *validities, sentence="Operation op-1 took effect twice.", before=()):
    """`busy` is a verdict that is unknown because the machine was busy; `before` are verdicts of attempts before."""
    witness = (Event(10 * MS, "client", "ok", "op-1", "task-1", data={"status": 202}),
               Event(30 * MS, "effects", "effect", "op-1", "task-1", data={"name": "work"}))
    anomaly = Anomaly("duplicate", sentence, "op-1", "task-1", witness)
    def verdict(n, each):
        ms, each = (338.0 - n, "unknown") if each == "busy" else (0.0, each)
        return Verdict(each, f"promise_{n}()", (anomaly,) if each == "invalid" else (), "nothing was seen", ms)
    verdicts = tuple(verdict(n, each) for n, each in enumerate(validities))
    earlier = tuple(result(plan, setting, each) for each in before)
    folder = setting.store.place(setting.scenario)
    (folder / "results.json").write_text("{}")
    return Result(setting.scenario, plan, verdicts, History(witness), folder, 1.5, earlier)


def run(plan, setting, *validities, **more):
    with trying(setting.emit, setting.scenario):
        setting.emit(Phase("launch", setting.scenario))
        found = result(plan, setting, *validities, **more)
    setting.emit(TrialEnded(setting.scenario, found, found.attempts))
    return found


@pytest.fixture(autouse=True)
def forged(monkeypatch, request):
    """A trial's outcome is its test's marker `outcome`; nothing is started."""
    marker = request.node.get_closest_marker("outcome")
    if marker:
        forge = lambda plan, setting: run(plan, setting, *marker.args, **marker.kwargs)
        monkeypatch.setattr("brownout.lab.run", forge)
        from brownout.subject.application import Surface
        monkeypatch.setattr("brownout.lab.surface", lambda *_: Surface(("small.work",), ("/slow",)))


def pytest_configure(config):
    config.addinivalue_line("markers", "outcome(*validities): what the trial comes to")
'''

SCENARIOS = """
import pytest
from brownout import *
"""


def write(folder: Path, scenarios: str, *, forged: bool = False, conftest: str = "") -> Path:
    """Write the project; `forged` puts results in the place of trials, `conftest` goes behind its own `conftest.py`.

    Answers the file of the scenarios.
    """
    (folder / "small.py").write_text(APPLICATION)
    (folder / "conftest.py").write_text(CONFTEST + (FORGED if forged else "") + conftest)
    path = folder / "test_small.py"
    path.write_text(SCENARIOS + textwrap.dedent(scenarios))
    return path
