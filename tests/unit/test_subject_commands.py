"""Commands by which owners start their workers and APIs."""

from pathlib import Path

import pytest

from brownout.subject.commands import Command, Unread, api, worker


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("celery -A app.worker worker", Command("app.worker")),
        ("celery --app=app.worker:celery worker -l info -n w1@%h -E", Command("app.worker:celery", options=("-E",))),
        (
            "celery -A app.worker worker -Q high,default -P gevent -c 20 --max-tasks-per-child=5",
            Command(
                "app.worker", queues=("high", "default"), pool="gevent", concurrency=20,
                options=("--max-tasks-per-child=5",),
            ),
        ),
        ("cd backend && LOG=a=b poetry run celery -A tasks worker", Command("tasks", "backend", {"LOG": "a=b"})),
        (".venv/bin/python -m celery -A tasks --workdir src worker -P processes", Command("tasks", "src")),
        ("env A=1 /usr/bin/celery -A tasks worker --concurrency=3 -D", Command("tasks", env={"A": "1"}, concurrency=3)),
    ],
)  # fmt: skip
def test_a_workers_command(text: str, found: Command) -> None:
    assert worker(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("uvicorn main:app", Command("main:app")),
        ("uvicorn --factory shop.web:create_app --host 0.0.0.0 --port 80 --reload", Command("shop.web:create_app()")),
        ("uv run uvicorn shop.web:make.app --app-dir src --workers 4", Command("shop.web:make.app", "src")),
        ("cd api && uvicorn main:app --env-file prod.env", Command("main:app", "api", env_file="prod.env")),
        ("gunicorn -k uvicorn.workers.UvicornWorker -w 4 -b 0.0.0.0:80 main:app", Command("main:app")),
        ("PORT=1 python3 -m uvicorn main:app", Command("main:app", env={"PORT": "1"})),
    ],
)
def test_an_apis_command(text: str, found: Command) -> None:
    assert api(text) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("celery -A tasks beat", "celery -A NAME worker"),
        ("celery worker -Q a", "names its application with -A"),
        ("celery -A tasks worker -c many", "invalid int value: 'many'"),
        ("python worker.py", "starts with celery is wanted, not 'python worker.py'"),
        ("celery -A 'tasks", "No closing quotation"),
        ("", "starts with celery"),
    ],
)
def test_what_is_no_workers_command_is_one_line(text: str, why: str) -> None:
    with pytest.raises(Unread, match=why) as caught:
        worker(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["uvicorn", "uvicorn main"])
def test_what_is_no_apis_command_is_refused(text: str) -> None:
    with pytest.raises(Unread, match="uvicorn"):
        api(text)


MADE = "from fastapi import FastAPI\napp = FastAPI()\n"
FILES = {
    "main.py": MADE,
    "flat/web.py": "import fastapi\nother = 1\nshop: fastapi.FastAPI = fastapi.FastAPI(title='shop')",
    "pkg/__init__.py": "from pkg.web import api",
    "pkg/inner/__init__.py": "",
    "pkg/inner/web.py": "from pkg.factory import create_app\napi = create_app()",
    "back/app/main.py": MADE,
    "set/pyproject.toml": '[tool.fastapi]\nentrypoint = "shop.web:app"\n',
    "set/main.py": MADE,
    "none.py": "x = 1",
    "broken.py": "x =",
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("fastapi run main.py", Command("main:app")),
        ("fastapi dev --port 80 --no-reload main.py", Command("main:app")),
        ("fastapi run", Command("main:app")),
        ("A=1 uv run fastapi run flat/web.py --workers 4", Command("web:shop", "flat", {"A": "1"})),
        ("python -m fastapi run flat/web.py --app made", Command("web:made", "flat")),
        ("fastapi run pkg/inner/web.py", Command("pkg.inner.web:api")),
        ("fastapi run pkg/__init__.py", Command("pkg:api")),
        ("cd back && fastapi run", Command("main:app", "back/app")),
        ("cd set && fastapi run", Command("shop.web:app", "set")),
        ("cd set && fastapi run main.py", Command("main:app", "set")),
        ("fastapi dev -e shop.web:app", Command("shop.web:app")),
    ],
)
def test_fastapis_own_command_is_read_as_fastapi_reads_it(text: str, found: Command) -> None:
    assert api(text, FILES.get) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("fastapi", "an API's command is fastapi run FILE, not 'fastapi'"),
        ("fastapi deploy", "invalid choice: 'deploy'"),
        ("fastapi run nowhere.py", "names no file that is there"),
        ("cd flat && fastapi run", "names no file that is there"),
        ("fastapi run none.py", "none.py has no FastAPI application .*--app"),
        ("fastapi run broken.py", "broken.py has no FastAPI application"),
    ],
)
def test_a_fastapi_command_that_names_no_application_is_one_line(text: str, why: str) -> None:
    with pytest.raises(Unread, match=why) as caught:
        api(text, FILES.get)
    assert "\n" not in str(caught.value)


def test_the_file_of_fastapis_command_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "web.py").write_text(MADE)
    assert api("fastapi run web.py") == Command("web:app")
