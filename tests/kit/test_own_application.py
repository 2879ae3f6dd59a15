"""Applications of other people, unchanged: started as their owners start them, and asked as they ask themselves."""

from __future__ import annotations

import os
import re

import pytest

from brownout.subject.application import Application, surface
from brownout.subject.processes.launchers import forks_of
from tests.kit.own_projects import Project

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfds (Linux)")

GOOD = "worker->broker/ZREM#1/after-cut"


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("p"))


def points(project: Project, *words: str) -> str:
    """The points of a task's life, which shows that the application works."""
    found = project.brownout("list", "points", *words)
    assert found.code == 0, found.err
    assert project.left == []
    return found.out


# --- names


@pytest.mark.parametrize("name", ["pkg", "pkg.app", "pkg.app:queue", "pkg.app.queue", "pkg.celery"])
@pytest.mark.parametrize("tasks", ["include", "autodiscover"])
def test_an_application_has_the_names_that_celery_takes(project: Project, name: str, tasks: str) -> None:
    more = 'include=["pkg.tasks"]' if tasks == "include" else ""
    found = '\nqueue.autodiscover_tasks(["pkg"])' if tasks == "autodiscover" else ""
    project.write(
        pkg__="",
        pkg__celery="from pkg.app import queue",
        pkg__app=f"from celery import Celery\nqueue = Celery('pkg', {more}){found}",
        pkg__tasks="from celery import shared_task\n@shared_task\ndef add(a, b): return a + b",
    )
    assert surface(Application(celery=name), project.folder).tasks == ("pkg.tasks.add",)


def test_a_module_and_an_attribute_can_be_forked(project: Project) -> None:
    project.write(own="from celery import Celery\nqueue = Celery('own')\n@queue.task(name='own.add')\ndef add(): pass")
    assert "ZREM#1" in points(project, "--app", "own.queue", "--task", "own.add")


# --- as its owner starts it

PLACED = """
    import os
    from celery import Celery

    app = Celery("placed", broker=os.environ["QUEUE_URL"], backend=os.environ["ANSWERS_URL"])
    app.conf.update(task_default_queue="high", task_serializer="pickle", accept_content=["pickle", "json"],
                    task_compression="gzip", task_routes={"placed.low": {"queue": "low"}})

    @app.task(name="placed.low", serializer="json")
    def low(token):
        told = {name: os.environ.get(name) for name in ("LEVEL", "FROM_FILE", "BOTH")}
        assert told == {"LEVEL": "7", "FROM_FILE": "x y", "BOTH": "command"}, told
        assert os.path.basename(os.getcwd()) == "back", os.getcwd()
        assert open(os.environ["FILES"] + "/seed").read() == "prepared"

    @app.task(name="placed.high")
    def high(token):
        return token
"""
PLACED_WORKER = "cd back && LEVEL=7 BOTH=command celery -A placed worker -Q high,low -P threads -c 2 -l info -n w@%h"
PLACED_ENV = ("--env", "QUEUE_URL={broker}", "ANSWERS_URL={backend}", "FILES={files}")


@pytest.mark.parametrize("task", ["placed.low", "placed.high"])
def test_folder_environment_queues_pool_and_preparation_are_the_owners(project: Project, task: str) -> None:
    project.write(back__placed=PLACED)
    (project.folder / "back" / ".env").write_text('FROM_FILE="x y"\nBOTH=file\nLEVEL=1\n')
    (project.folder / "seed").write_text("prepared")
    asked = ["--worker", PLACED_WORKER, *PLACED_ENV, "--task", task, "--args", '["t"]', "--prepare", "cp seed {files}"]
    found = project.brownout("map", GOOD, *asked)
    assert found.code == 0, found.out + found.err
    assert f"LPUSH {task.partition('.')[2]}" in points(project, *asked), "its queue, by its route or by default"


def test_a_preparation_that_fails_is_one_line(project: Project) -> None:
    project.write(back__placed=PLACED)
    asked = ["--worker", PLACED_WORKER, *PLACED_ENV, "--task", "placed.high", "--prepare", "echo no such table; exit 3"]
    found = project.brownout("map", GOOD, *asked)
    assert found.code == 2
    assert "the preparation 'echo no such table; exit 3' ended with exit code 3: no such table" in found.last
    assert project.left == []


# --- an API in a folder of its own, which has only the task's name

WORKER = """
    import json, os, time
    from celery import Celery

    app = Celery("worker")

    @app.task(name="jobs.run", ignore_result=True)
    def run(number):
        time.sleep(0.05)
"""
API = """
    import os
    from celery import Celery
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    queue = Celery("api")
    queue.conf.task_ignore_result = True
    numbers = iter(range(1, 1000))

    async def create(request):
        assert os.path.basename(os.getcwd()) == "web"
        number = next(numbers)
        queue.send_task("jobs.run", [number])
        return JSONResponse({"data": {"id": number}}, status_code=202)

    def make():
        return Starlette(routes=[Route("/jobs", create, methods=["POST"])])
"""
EXPERIMENT = """
    from pathlib import Path
    from brownout import Application
    from brownout.cli.application import CELERY_ENV
    from brownout.explore.experiment import OWN, Experiment, Workload
    from brownout.plan.operation import Http

    FOLDERS = {"worker": "back", "api": "web"}
    APPLICATION = Application(celery="main", api="main:make()", env=CELERY_ENV, folders=FOLDERS)
    jobs = Experiment(APPLICATION, Path(), OWN, Workload("http", "a job", http=Http("POST", "/jobs")), "")
"""


def test_an_api_with_an_id_of_its_own_and_no_status_in_another_folder(project: Project) -> None:
    """Both folders have a module `main`, `GET /` answers 404, and the answer has no id of Celery's."""
    project.write(back__main=WORKER, web__main=API, exp=EXPERIMENT)
    found = project.brownout("map", "worker->broker/ZADD#1/before-cut", GOOD, "--experiment", "exp:jobs")
    assert found.code == 1, found.out + found.err
    assert "✗ worker->broker/ZADD#1/before-cut  invalid · lost ×1" in found.out
    assert re.search(rf"✓ {GOOD}  valid · (once|recovered)", found.out), "no probe is taken for the job"


# --- files


def test_an_application_may_make_its_tables_when_it_is_imported(project: Project) -> None:
    """{files} is a folder also where no trial runs."""
    project.write(
        own="""
        import os, sqlite3
        from celery import Celery
        sqlite3.connect(os.environ["TABLES"]).execute("create table if not exists orders (number)")
        app = Celery("own")
        @app.task(name="own.add")
        def add(): pass
    """
    )
    application = Application(celery="own", env={"TABLES": "{files}/own.db"})
    assert surface(application, project.folder).tasks == ("own.add",)
    with forks_of(application, project.folder) as forked:
        assert forked.remarks == ()


# --- sending and seeing as the application does


def test_a_message_in_a_queue_that_the_worker_does_not_read_is_reported_as_that(project: Project) -> None:
    project.write(
        own="""
        from celery import Celery
        app = Celery("own")
        app.conf.task_routes = {"own.slow": {"queue": "slow"}}
        @app.task(name="own.slow")
        def slow(): pass
    """
    )
    found = project.brownout("map", GOOD, "--app", "own", "--task", "own.slow")
    assert found.code == 2, found.out
    assert "its message lies in queue slow, and the worker reads celery; start the worker with -Q" in found.last
    assert found.seconds < 30
    assert project.left == []
    assert "LPUSH slow" in points(project, "--app", "own", "--task", "own.slow", "--queue", "celery", "slow")


@pytest.mark.parametrize("why", ["ignored", "no backend", "rpc", "file"])
def test_an_application_without_results_is_mapped_without_them(project: Project, why: str) -> None:
    backend = (
        '"rpc"'
        if why == "rpc"
        else '"redis://localhost"'
        if why == "ignored"
        else '"file:///tmp"'
        if why == "file"
        else None
    )
    project.write(
        own=f"""
        from celery import Celery
        app = Celery("own", backend={backend})
        @app.task(name="own.add", ignore_result={why == "ignored"})
        def add(a): return a
    """
    )
    asked = ("--app", "own", "--task", "own.add", "--args", "[1]")
    found = project.brownout("map", "worker->broker/ZADD#1/before-cut", GOOD, *asked)
    assert found.code == 1, found.out + found.err
    assert "✗ worker->broker/ZADD#1/before-cut  invalid · lost ×1" in found.out
    assert re.search(rf"✓ {GOOD}  valid", found.out), found.out
    assert "the task stores no result: unread and wrong results are not judged\n" in found.err
    assert not [line for line in points(project, *asked).splitlines() if "->backend" in line]


def test_a_long_task_is_waited_for(project: Project) -> None:
    project.write(
        own="""
        import time
        from celery import Celery
        app = Celery("own", backend="redis://localhost")
        @app.task(name="own.long")
        def long(): time.sleep(9)
    """
    )
    found = project.brownout("map", GOOD, "--app", "own", "--task", "own.long")
    assert found.code == 0, found.out + found.err
    short = project.brownout("map", GOOD, "--app", "own", "--task", "own.long", "--warm-up", "2")
    assert short.code == 2
    assert short.last.endswith("did not end within 2 s without a fault; wait longer with --warm-up 6")
    assert short.seconds < found.seconds
    assert project.left == []
