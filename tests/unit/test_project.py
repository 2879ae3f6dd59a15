"""`brownout init`: what is found in a project's files, what is sent first, and the files that are written."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from brownout.cli import main
from brownout.lint.facts import Call, Celery, Facts, Route, Task
from brownout.project.files import project_file, scenario, toml
from brownout.project.look import Found, Guess, look
from brownout.project.workload import Sent, choose, example, patience, ready
from brownout.subject import commands
from brownout.subject.application import NotImportable

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes files of a project, which is the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(texts: Mapping[str, str] = {}) -> Path:
        for name, text in texts.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


def values(found: Found) -> Mapping[str, Any]:
    named = {"app": found.celery, "api": found.api, "queues": found.queues}
    told = {name: guess.value for name, guess in named.items() if guess}
    told |= {f"{role}'s folder": folder for role, folder in found.folders.items()}
    told |= {"env_file": ".env"} if found.env_file else {}
    return told | {name: guess.value for name, guess in found.env.items()}


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ({"worker.py": "app = Celery('x')"}, {"app": "worker:app"}),
        ({"shop/celery.py": "app: Celery = celery.Celery('x')"}, {"app": "shop.celery:app"}),
        ({"shop/__init__.py": "app = Celery('x')"}, {"app": "shop:app"}),
        ({"main.py": "api = FastAPI()"}, {"api": "main:api"}),
        ({"main.py": "def make(a=1):\n    app = FastAPI()\n    return app"}, {"api": "main:make()"}),
        ({"main.py": "def make(settings):\n    return FastAPI()"}, {}),
        ({"README.md": "celery -A shop.worker worker -Q high,low -c 4"}, {"app": "shop.worker", "queues": "high,low"}),
        ({"README.md": "celery --app=shop.worker --loglevel INFO worker"}, {"app": "shop.worker"}),
        ({"README.md": "celery -A shop.worker beat"}, {}),
        ({"Procfile": "web: uvicorn --port 80 shop.main:create()"}, {"api": "shop.main:create()"}),
        ({"Dockerfile": "CMD gunicorn shop.main:app -k uvicorn_worker.UvicornWorker"}, {"api": "shop.main:app"}),
        ({"README.md": "celery -A a worker", "worker.py": "app = Celery('x')"}, {"app": "a"}),
        ({"main.py": "url = os.environ['REDIS_URL']"}, {"REDIS_URL": "{broker}"}),
        ({"main.py": "url = os.getenv('MY_RESULTS', '')"}, {"MY_RESULTS": "{backend}"}),
        ({"main.py": "url = os.environ.get(\n 'BROKER')"}, {"BROKER": "{broker}"}),
        ({"main.py": "url = os.environ['DATABASE_URL']"}, {}),
        ({"docker-compose.yml": "    - BROKER_URL=redis://redis:6379/0"}, {"BROKER_URL": "{broker}"}),
        ({"docker-compose.yml": "    RESULTS: 'redis://redis:6379/0'"}, {"RESULTS": "{backend}"}),
        ({".env": "REDIS_HOST=redis"}, {"env_file": ".env"}),
        ({"main.py": "os.getenv('REDIS_HOST'); os.getenv('REDIS_TTL', '60'); os.environ['RESULT_DB']"}, {}),
        ({"main.py": "os.getenv('BROKER_URL', 'amqp://rabbit//')"}, {}),
        ({"main.py": "os.getenv('BROKER_URL', 'redis://redis/0')"}, {"BROKER_URL": "{broker}"}),
        (
            {"main.py": "os.getenv('DATABASE_URL', 'sqlite:///./data/shop.db')"},
            {"DATABASE_URL": "sqlite:///{files}/shop.db"},
        ),
        ({"main.py": "os.getenv('DATABASE_URL', 'sqlite:///:memory:')"}, {}),
        ({"main.py": "os.getenv('DATABASE_URL', 'postgresql://db/shop')"}, {}),
        (
            {"compose.yaml": "  DATABASE_URL: sqlite+aiosqlite:////data/shop.db"},
            {"DATABASE_URL": "sqlite+aiosqlite:///{files}/shop.db"},
        ),
        (
            {
                "s.py": "class S(BaseSettings):\n    model_config = SettingsConfigDict(env_prefix='SHOP_')\n"
                "    redis_url: str = 'redis://h/0'\n    results: RedisDsn\n    redis_port: int = 6379\n"
                "    broker: str = Field('redis://h/1', validation_alias='QUEUE_BROKER')\n    name: str = 'shop'\n"
            },
            {"SHOP_REDIS_URL": "{broker}", "SHOP_RESULTS": "{backend}", "QUEUE_BROKER": "{broker}"},
        ),
        (
            {
                "s.py": "class S(BaseSettings):\n    redis_url: str = 'redis://h/0'\n    class Config:\n"
                "        env_prefix = 'SHOP_'\n"
            },
            {"SHOP_REDIS_URL": "{broker}"},
        ),
        ({"Procfile": "web: uvicorn --factory shop.main:create"}, {"api": "shop.main:create()"}),
        ({"Procfile": "web: uvicorn shop.main:create --factory --port 80"}, {"api": "shop.main:create()"}),
        (
            {
                "README.md": "cd back && celery -A tasks worker -Q a\ncd ./front && uvicorn main:app",
                "back/tasks.py": "",
                "front/main.py": "",
            },
            {"app": "tasks", "api": "main:app", "queues": "a", "worker's folder": "back", "api's folder": "./front"},
        ),
        (
            {"README.md": "celery -A tasks worker", "back/tasks.py": "app = Celery('x')", "back/.env": ""},
            {"app": "tasks", "worker's folder": "back", "env_file": ".env"},
        ),
        ({"README.md": "celery -A tasks worker", "back/tasks.py": "", "front/tasks.py": ""}, {"app": "tasks"}),
        ({"README.md": "celery -A tasks worker", "back/tasks.py": "", "tasks/__init__.py": ""}, {"app": "tasks"}),
        ({"README.md": "cd .. && celery -A tasks worker"}, {"app": "tasks"}),
        ({".venv/x.py": "app = Celery('x')", "tests/y.py": "app = FastAPI()"}, {}),
        ({"other/pyvenv.cfg": "", "other/x.py": "app = Celery('x')"}, {}),
        ({"broken.py": "app = Celery('x'"}, {}),
    ],
)
def test_what_the_files_tell(write: Write, texts: dict[str, str], told: dict[str, str]) -> None:
    assert values(look(write(texts))) == told


def test_another_application_is_told(write: Write) -> None:
    found = look(write({"a.py": "app = Celery('x')", "b.py": "app = Celery('y')"}))
    assert found.celery == Guess("a:app", "a.py has app = Celery(...)")
    assert found.others == ["celery: b:app (b.py has app = Celery(...))"]


@pytest.mark.parametrize(
    ("command", "made", "others"),
    [
        ("celery -A worker.celery worker", {"worker.py": "celery = Celery('x')"}, 0),
        ("cd back && celery -A tasks worker", {"back/tasks.py": "app = Celery('x')"}, 0),
        ("celery -A shop worker", {"shop/__init__.py": "", "shop/celery.py": "app = Celery('x')"}, 0),
        ("celery -A worker worker", {"worker.py": "", "workers.py": "app = Celery('x')"}, 1),
    ],
)
def test_what_the_command_names_is_no_other_application(
    write: Write, command: str, made: dict[str, str], others: int
) -> None:
    assert len(look(write({"README.md": command, **made})).others) == others


def publish(kind: str = "publish") -> tuple[Call, ...]:
    return (Call(kind, "shop.send", "shop.py", 3),)


CELERY = Celery(tasks=(Task("shop.other", needs=("data", "user_id", "name")), Task("shop.send")))


def test_a_route_that_publishes_is_sent_first() -> None:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}
    order = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    schema = {
        "paths": {"/orders": {"post": {"requestBody": {"content": content}}}},
        "components": {"schemas": {"Order": order}},
    }
    routes = (
        *(Route("GET /jobs/{n}"), Route("GET /items/{n}", publish("result")), Route("POST /orders/{n}", publish())),
        *(Route("POST /login"), Route("POST /orders", publish())),
    )
    sent = choose(Facts(CELERY, routes, schema))
    assert sent
    assert (sent.name, sent.values) == ("orders", {"post": "/orders", "json": {"n": 1}, "status": "/items/{id}"})
    assert sent.why["post"] == "it sends shop.send (shop.py:3)"


@pytest.mark.parametrize(
    ("route", "status"), [("GET /jobs/{job_id}", "/jobs/{id}"), ("GET /users/{n}", None), ("GET /jobs/{a}/{b}", None)]
)
def test_a_status_that_is_called_like_one(route: str, status: str | None) -> None:
    sent = choose(Facts(CELERY, (Route("PUT /x", publish()), Route(route))))
    assert sent
    assert (sent.values.get("status"), sent.values["put"]) == (status, "/x")


STATE: dict[str, Any] = {"properties": {"n": {}, "order_state": {}}}
PLAIN: dict[str, Any] = {"properties": {"n": {}, "statement": {}}}


@pytest.mark.parametrize(
    ("schema", "status"), [({}, "/x/{id}"), (STATE, "/x/{id}"), (PLAIN, None), ({"$ref": "#/plain"}, None)]
)
def test_the_route_of_what_was_posted_may_tell_its_state(schema: dict[str, Any], status: str | None) -> None:
    answer = {"200": {"content": {"application/json": {"schema": schema}}}}
    document = {"plain": PLAIN, "paths": {"/x/{n}": {"get": {"responses": answer}}}}
    sent = choose(Facts(CELERY, (Route("POST /x", publish()), Route("GET /x/{n}"), Route("GET /y/{n}")), document))
    assert sent
    assert sent.values.get("status") == status


def test_a_body_without_a_schema_has_the_keys_that_the_route_reads() -> None:
    content = {"application/json": {"schema": {"title": "Payload"}}}
    document = {"paths": {"/x": {"post": {"requestBody": {"content": content}}}}}
    sent = choose(Facts(CELERY, (Route("POST /x", publish(), ("type", "to")),), document))
    assert sent
    assert sent.values["json"] == {"type": 1, "to": "a"}


@pytest.mark.parametrize(
    ("late", "visibility", "seconds"), [(True, 3.0, 103.0), (False, 3.0, 0.0), (True, 3600.0, 0.0)]
)
def test_the_scenario_waits_for_the_second_delivery(late: bool, visibility: float, seconds: float) -> None:
    facts = Facts(Celery(visibility=visibility, tasks=(Task("shop.send", acks_late=late),)))
    assert patience(facts) == seconds
    sent = choose(facts)
    assert sent
    assert ('lab.drain("103s")' in scenario(FOUND, sent, patience(facts))) == bool(seconds)


def test_else_a_task_is_sent() -> None:
    sent = choose(Facts(CELERY, (Route("POST /login"),)))
    assert sent
    assert (sent.name, sent.values) == ("other", {"task": "shop.other", "args": [{}, 1, "a"]})
    assert choose(Facts(Celery())) is None


@pytest.mark.parametrize(
    ("routes", "path"),
    [
        (["GET /", "GET /docs"], None),
        (["GET /x/{n}", "GET /openapi.json", "GET /docs", "GET /health"], "/health"),
        (["GET /docs"], "/docs"),
        (["POST /x"], None),
    ],
)
def test_a_path_that_says_that_the_api_is_ready(routes: list[str], path: str | None) -> None:
    found = ready(Facts(None, tuple(map(Route, routes))))
    assert (found and found.value) == path


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "a"),
        ({"type": "string", "minLength": 3}, "aaa"),
        ({"type": "string", "format": "email"}, "a@example.org"),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "number", "minimum": 0.5}, 0.5),
        ({"type": "boolean"}, True),
        ({"type": "array", "minItems": 2, "items": {"enum": ["x", "y"]}}, ["x", "x"]),
        ({"type": "array"}, []),
        ({"type": "array", "items": {"type": "integer"}}, [1, 1]),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 1}, [1]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [1, 1, 1]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        ({"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]}, {"a": "a"}),
        ({"example": 9, "type": "string"}, 9),
        ({"$ref": "#/loop"}, {"again": {"again": {"again": {"again": {"again": {}}}}}}),
        ({}, {}),
    ],
)
def test_an_example_of_a_schema(schema: dict[str, Any], value: object) -> None:
    loop = {"type": "object", "required": ["again"], "properties": {"again": {"$ref": "#/loop"}}}
    found = example(schema, {"loop": loop})
    assert str(found).startswith("{'again': {'again'") if "$ref" in schema else found == value


@pytest.mark.parametrize(
    "value", ['a"b\\c\nd é', [1, 2.5, True, ["x"]], {"a b": {"c.d": [{}]}, "e": "{broker}"}, {}, [], "\u2028"]
)
def test_toml_is_read_as_it_was_meant(value: object) -> None:
    assert tomllib.loads(f"x = {toml(value)}") == {"x": value}


def test_toml_has_no_null() -> None:
    assert tomllib.loads(f"x = {toml({'a': None, 'b': [None, 1]})}") == {"x": {"b": ["", 1]}}


FOUND = Found(
    Guess("shop.worker", "why"), Guess("shop.main:app", "because\nso"), Guess("high,low", "why"), Guess("/up", "")
)
HTTP = Sent("orders", {"post": "/orders", "json": {"n": 1}, "status": "/o/{id}"}, {"post": "why"})


def test_the_projects_file() -> None:
    found = Found(FOUND.celery, FOUND.api, FOUND.queues, FOUND.ready, {"URL": Guess("{broker}", "shop.py reads it")})
    text = project_file(found, HTTP)
    assert tomllib.loads(text) == {
        "parts": {"app": "shop.worker", "api": "shop.main:app", "ready": "/up", "queue": ["high", "low"],
                  "env": {"URL": "{broker}"}},
        "workloads": {"orders": {"post": "/orders", "json": {"n": 1}, "status": "/o/{id}"}},
    }  # fmt: skip
    assert "# because so\napi =" in text
    assert tomllib.loads(project_file(Found(), None)) == {"parts": {}}


@pytest.mark.parametrize("sent", [HTTP, Sent("send", {"task": "shop.send", "args": [1, {"a": None}]}, {})])
def test_the_scenario_is_a_test(sent: Sent) -> None:
    text = scenario(FOUND, sent)
    names = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    assert names == {"application", "test_a_killed_worker_loses_nothing"}
    imported = next(n for n in ast.parse(text).body if isinstance(n, ast.ImportFrom) and n.module == "brownout")
    for one in imported.names:
        assert text.count(one.name) > 1, one.name
    assert ('status="/o/{task}"' in text) == ("post" in sent.values)
    assert ("lab.topology(servers=0)" in text) == ("task" in sent.values)


def test_a_part_in_a_folder_of_its_own_is_given_by_its_command() -> None:
    folders = {"worker": "back", "api": "front"}
    found = Found(
        FOUND.celery, Guess("main:make()", ""), env={"U": Guess("{broker}", "")}, folders=folders, env_file=True
    )
    parts = tomllib.loads(project_file(found, HTTP))["parts"]
    assert parts["worker"] == "cd back && celery -A shop.worker worker"
    assert parts["api"] == "cd front && uvicorn --factory main:make"
    assert "app" not in parts
    assert (commands.worker(parts["worker"]).folder, commands.api(parts["api"]).name) == ("back", "main:make()")
    text = scenario(found, HTTP)
    assert 'folders={"worker": "back", "api": "front"}' in text
    assert 'env_file=".env"' in text
    assert 'folders={"worker": "back"}' in scenario(found, Sent("send", {"task": "shop.send"}, {}))


URL = "os.environ['SHOP_BROKER']"
GOOD = Facts(CELERY, (Route("GET /"), Route("POST /orders", publish())))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What an application was asked with; it tells GOOD."""
    asked: list[Any] = []

    def read(*arguments: Any) -> Facts:
        asked.append(arguments)
        if arguments[0] == "broken":
            raise NotImportable("ModuleNotFoundError: No module named 'shop'", "shop")
        return GOOD

    monkeypatch.setattr("brownout.lint.facts.read", read)
    return asked


def test_init_writes_two_files_once(write: Write, told: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    root = write({"shop.py": f"app = Celery('x', broker={URL})", "main.py": "app = FastAPI()"})
    assert main(["init"]) == 0
    out = capsys.readouterr().out
    assert "app      shop:app\n           shop.py has app = Celery(...)\n" in out
    assert "written  brownout.toml\nwritten  tests/chaos/test_first.py\nNext     brownout doctor\n" in out
    assert told == [("shop:app", "main:app", root, {"SHOP_BROKER": "{broker}"}, "", {})]
    assert tomllib.loads((root / "brownout.toml").read_text())["workloads"] == {"orders": {"post": "/orders"}}
    before = {path: path.read_text() for path in (root / "brownout.toml", root / "tests" / "chaos" / "test_first.py")}
    assert main(["init", "--app", "other"]) == 1
    assert {path: path.read_text() for path in before} == before
    assert "brownout.toml is there, and stays as it is\n" in capsys.readouterr().out
    (root / "brownout.toml").unlink()
    assert main(["init", "--scenario", "other/test_it.py"]) == 0
    assert (root / "other" / "test_it.py").exists()


def test_what_is_typed_counts_more(write: Write, told: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    root = write({"shop.py": f"app = Celery('x', broker={URL})"})
    monkeypatch.setenv("SHOP_BROKER", "redis://own")
    assert main(["init", "--app", "shop.worker", "--api", "uvicorn main:app", "--env", "REDIS={broker}", "M=1"]) == 0
    assert told == [("shop.worker", "main:app", root, {"REDIS": "{broker}", "M": "1"}, "", {})]
    parts = tomllib.loads((root / "brownout.toml").read_text())["parts"]
    assert parts["env"] == {"SHOP_BROKER": "{broker}", "REDIS": "{broker}", "M": "1"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "no Celery application was found here: --app MODULE names it"),
        (["--app", "broken"], 2, "there is no module shop"),
        (["--app", "shop", "--env", "A"], 64, "--env is NAME=VALUE: 'A'"),
    ],
)
def test_nothing_is_written(
    write: Write, told: list[Any], words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write()
    assert main(["init", *words]) == code
    assert said in capsys.readouterr().err
    assert list(root.iterdir()) == []
