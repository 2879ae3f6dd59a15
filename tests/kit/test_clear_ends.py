"""What cannot work ends in one line with the cause and the next step, with exit code 2, and leaves nothing behind."""

from __future__ import annotations

import os
import socket

import pytest

from brownout.subject.cpus import usable_cpus
from tests.kit.own_projects import Project

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfds (Linux)")

OWN = """
import os, sys, time
from celery import Celery
{before}
app = Celery("own", backend="redis://localhost")
{after}

@app.task(name="own.add")
def add(a):
    {body}
"""


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("p"))


def mapped(project: Project, *words: str, before: str = "", after: str = "", body: str = "return a") -> str:
    """The one line that the command ends with; `before`, `after` and `body` are parts of the application."""
    project.write(own=OWN.format(before=before, after=after, body=body))
    given = {"--app": "own", "--task": "own.add", "--args": "[1]"}
    asked = [word for name, value in given.items() if name not in words for word in (name, value)]
    found = project.brownout("map", CELL, *asked, *words)
    assert (found.code, found.out) == (2, ""), found.out + found.err
    assert found.last.startswith("brownout map: error: "), found.err
    assert "Traceback" not in found.err
    assert found.seconds < LIMIT * max(1.0, os.getloadavg()[0] / usable_cpus()), found.err
    assert project.left == []
    return found.last.removeprefix("brownout map: error: ")


CELL = "worker->broker/ZREM#1/after-cut"
LIMIT = 30.0  # s, for each thread that wants a core; each of these ends within a few seconds on an idle machine


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (
            "import nowhere_to_be_found",
            "the application needs the module nowhere_to_be_found, which is not installed; in",
        ),
        ("import fastapi.nothing", "the application needs fastapi.nothing, which is not installed; type: "),
        ("os.environ['SHOP_KEY']", "the application needs SHOP_KEY in its environment: --env SHOP_KEY=VALUE"),
        ("1 / 0", "the application can't be imported: ZeroDivisionError: division by zero; see all of it with: "),
        ("def f(:", "the application can't be imported: SyntaxError: invalid syntax; see all of it with: "),
        ("sys.exit(3)", "the application can't be imported: "),
    ],
)
def test_an_import_error_says_what_is_missing(project: Project, before: str, said: str) -> None:
    assert mapped(project, before=before).startswith(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--app", "own:nothing"], "own:nothing is no Celery application; there is own:app"),
        (["--app", "own.nothing"], "own.nothing is no Celery application; there is own:app"),
        (["--app", "own:os"], "own:os is no Celery application, but of type module; there is own:app"),
        (["--app", "nowhere"], "there is no module nowhere; type the command in the directory that has it"),
        (["--task", "own.ad"], "no task of own is called 'own.ad'; did you mean 'own.add'"),
    ],
)
def test_a_wrong_name_is_answered_with_the_names_that_there_are(project: Project, words: list[str], said: str) -> None:
    assert mapped(project, *words).startswith(said)


def test_an_application_without_tasks(project: Project) -> None:
    project.write(empty="from celery import Celery\napp = Celery('empty')")
    assert mapped(project, "--app", "empty") == (
        "empty has no tasks: name the modules that have them with include=, or give --app the module that imports them"
    )


@pytest.mark.parametrize("how", ["exits", "raises", "port"])
def test_a_worker_that_ends_at_its_start_says_why_at_once(project: Project, how: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        does = {
            "exits": "sys.exit('no licence')",
            "raises": "raise RuntimeError('no licence')",
            "port": f"__import__('socket').create_server(('127.0.0.1', {taken.getsockname()[1]}))",
        }[how]
        after = f"if 'worker' in sys.argv: {does}"
        line = mapped(project, after=after)
    why = "Address already in use" if how == "port" else "no licence"
    assert line.startswith("worker-1 ended with exit code ")
    assert " before it was ready: " in line
    assert why in line


@pytest.mark.parametrize(
    ("words", "body", "said"),
    [
        (["--args", "[]"], "return a", "TypeError: add() missing 1 required positional argument: 'a'"),
        (["--args", "[1, 2]"], "return a", "TypeError: add() takes 1 positional argument but 2 were given"),
        ([], "raise ValueError('not today')", "ValueError: not today"),
        ([], "raise SystemExit(3)", "WorkerLostError: Worker exited prematurely: exitcode 3."),
    ],
)
def test_a_task_that_fails_says_why(project: Project, words: list[str], body: str, said: str) -> None:
    line = mapped(project, *words, body=body)
    assert line == f"call own.add fails without a fault: {said}; --args, --kwargs and --env change what it gets"


def test_a_task_that_never_ends(project: Project) -> None:
    line = mapped(project, "--warm-up", "3", body="time.sleep(600)")
    assert line == "call own.add did not end within 3 s without a fault; wait longer with --warm-up 9"


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (
            "app.conf.broker_url = 'amqp://guest:secret@rabbit//'",
            "the application's broker is amqp, and brownout breaks",
        ),
        ("app.conf.broker_url = 'sqs://'", "the application's broker is sqs, and brownout breaks Redis"),
        (
            "app.conf.broker_read_url = 'redis://:secret@redis:6379/0'",
            "the application's broker stays redis://:**@redis:6379/0 whatever CELERY_BROKER_URL says; --env NAME=",
        ),
    ],
)
def test_a_broker_that_cannot_be_wired_is_named(project: Project, after: str, said: str) -> None:
    line = mapped(project, after=after)
    assert line.startswith(said)
    assert "secret" not in line


@pytest.mark.parametrize("missing", ["celery", "kombu"])
def test_a_missing_package_is_named_with_what_to_type(project: Project, missing: str) -> None:
    (project.folder / f"{missing}.py").write_text(f"raise ModuleNotFoundError(\"No module named '{missing}'\")")
    assert f"the application needs {missing}, which is not installed; type: " in mapped(project)


def test_an_old_celery_is_named(project: Project) -> None:
    (project.folder / "celery").mkdir()
    (project.folder / "celery" / "__init__.py").write_text("__version__ = '4.4.7'\nCelery = type('Celery', (), {})")
    (project.folder / "celery" / "signals.py").write_text("import_modules = None")
    assert mapped(project) == "Celery 4.4.7 is too old: brownout needs Celery 5.1 or newer"
