"""Commands by which owners start their workers and APIs."""

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


@pytest.mark.parametrize("text", ["uvicorn", "uvicorn main", "fastapi dev main.py"])
def test_what_is_no_apis_command_is_refused(text: str) -> None:
    with pytest.raises(Unread, match="uvicorn"):
        api(text)
