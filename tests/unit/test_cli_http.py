"""A request as the submission of a map, and the project's file that gives what was not typed."""

from pathlib import Path
from typing import Any

import pytest

from brownout.cli import main
from brownout.cli.application import CELERY_ENV
from brownout.cli.main import parser
from brownout.explore.experiment import OWN, Experiment
from brownout.explore.plans import operation_of, topology_of
from brownout.plan.operation import Http
from brownout.subject.application import Surface

APP = ("--app", "shop.worker", "--api", "uvicorn shop.main:app")
ASKED = (*APP, "--post", "/tasks", "--json", '{"type": 1}', "--status", "/tasks/{id}")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("brownout.explore.session.surface", lambda *_: Surface(("shop.send", "shop.other"), ()))
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The options that `brownout map` was given."""
    found: list[Any] = []

    def run(options: Any) -> int:
        found.append(options)
        options.experiment_of()
        return 0

    monkeypatch.setattr("brownout.cli.map.run", run)
    return found


def experiment(asked: list[Any], *words: str) -> Experiment:
    assert main(["map", *words]) == 0
    made: Experiment = asked[-1].experiment_of()
    return made


def test_a_request_makes_the_experiment_that_is_written_by_hand(asked: list[Any]) -> None:
    """As tests/chaos/experiments.py does, but for what only Python can say: readers and times of the system."""
    from tests.chaos.experiments import http as by_hand

    made = experiment(
        asked, "--app", "system.worker", "--api", "system.main:app", "--post", "/process-data", "--json", '{"n": 1}',
        "--ready", "/health-check/ready", "--status", "/task-status/{id}", "--queue", "celery", "cpu",
    )  # fmt: skip
    for one in ("title", "configuration", "kwargs", "workload"):
        assert getattr(made, one) == getattr(by_hand, one), one
    assert operation_of(made) == operation_of(by_hand)
    assert (topology_of(made).servers, topology_of(made).workers) == (1, topology_of(by_hand).workers)
    for one in ("celery", "api", "status", "queues"):
        assert getattr(made.application, one) == getattr(by_hand.application, one), one


def test_a_request_with_everything(asked: list[Any]) -> None:
    made = experiment(asked, *APP, "--put", "/t/{key}", "--form", "a=1", "b=x=y", "--header", "X-User: me",
                      "--ready", "/up", "--status", "/s/{key}")  # fmt: skip
    assert made.workload.http == Http("PUT", "/t/{key}", None, {"X-User": "me"}, {"a": "1", "b": "x=y"})
    assert (made.application.api, made.application.ready, made.application.status) == (
        *("shop.main:app", "/up", "/s/{key}"),
    )
    assert made.configuration == OWN
    assert experiment(asked, *ASKED, "--config", "late").configuration.name == "late"
    assert experiment(asked, *ASKED).application.ready == ""


def test_a_body_and_a_file_are_told_apart(asked: list[Any]) -> None:
    experiment(asked, *ASKED, "--json", "-")
    assert (asked[-1].body, asked[-1].json) == ({"type": 1}, Path("-"))
    experiment(asked, *APP, "--post", "/tasks", "--json", "[1]")
    assert (asked[-1].body, asked[-1].json) == ([1], None)
    experiment(asked, *APP, "--post", "/tasks", "--json", "7.json")
    assert (asked[-1].body, asked[-1].json) == (None, Path("7.json"))


def test_what_is_typed_again(asked: list[Any]) -> None:
    """A header that looks like a secret is left out, and its place must be filled in."""
    made = experiment(asked, *ASKED, "--header", "Authorization:Bearer x", "X-User:me")
    words = asked[-1].words(made)
    assert "Bearer x" not in " ".join(words)
    typed = parser().parse_args(["map", *words])
    assert (typed.post, typed.body, typed.status, typed.api) == ("/tasks", {"type": 1}, "/tasks/{id}", APP[3])
    assert typed.header == ["Authorization:…", "X-User:me"]
    assert main(["map", *words]) == 64


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        ([*ASKED, "--json", '{"user": "me", "password": "hunter22"}'], '{"user": "me", "password": "…"}'),
        ([*ASKED, "--post", "/tasks?token=hunter22&n=1"], "/tasks?token=…&n=1"),
        ([*ASKED[:6], "--form", "password=hunter22", "n=1"], "password=…"),
        ([*ASKED, "--set", "result_backend=redis://:hunter22@h/0"], "own+result_backend=redis://…@h/0"),
        ([*ASKED, "--set", "security_key_password=hunter22"], "own+security_key_password=…"),
        (["--app", "shop.worker", "--kwargs", '{"n": 1, "api_key": "hunter22"}'], '{"n": 1, "api_key": "…"}'),
        (["--app", "shop.worker", "--args", '[{"token": "hunter22"}, "a"]'], '[{"token": "…"}, "a"]'),
        (["--worker", "celery -A shop -b redis://:hunter22@h/0 worker"], "celery -A shop -b redis://…@h/0 worker"),
        ([*APP, "--prepare", "login --password=hunter22", "true"], "login --password=…"),
    ],
)
def test_no_secret_is_typed_again(asked: list[Any], words: list[str], typed: str) -> None:
    task = [] if "--post" in words else ["--task", "shop.send"]
    made = experiment(asked, *words, *task)
    again = asked[-1].words(made)
    assert typed in again
    assert "hunter22" not in " ".join([*again, made.title])
    assert main(["map", *again]) == 64


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--post", "/t"], "belong to an --app of your own"),
        ([*APP[:2], "--post", "/t"], "a request needs an --api that answers it"),
        ([*APP, "--post", "t"], "--post: a path begins with a slash: 't'"),
        ([*APP, "--put", "/t", "--status", "t/{id}"], "--status: a path begins with a slash"),
        ([*APP, "--post", "/t", "--put", "/t"], "--post or --put, not both"),
        ([*APP, "--post", "/t", "--status", "/t"], "--status needs the place of the id, as /tasks/{id}: '/t'"),
        ([*APP, "--post", "/t", "--task", "shop.send"], "a request or a --task is sent, not both"),
        ([*APP, "--post", "/t", "--json", "{}", "--form", "a=1"], "a JSON body or a form, not both"),
        ([*APP, "--post", "/t", "--form", "a"], "--form is NAME=VALUE: 'a'"),
        ([*APP, "--post", "/t", "--header", "a"], "--header is NAME:VALUE: 'a'"),
        ([*APP, "--task", "shop.send", "--status", "/t/{id}"], "belong to --post or --put"),
        ([*APP, "--task", "shop.send", "--json", '{"a": 1}'], "belong to --post or --put"),
        ([*APP, "--psot", "/t"], "no option is called '--psot'; did you mean '--post'"),
    ],
)
def test_a_wrong_request(words: list[str], said: str, asked: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(["map", *words])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 64
    assert said in capsys.readouterr().err


def test_a_command_that_writes_no_json_takes_a_body_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *ASKED, "--json", "file.json"]) == 64
    assert "--json: a JSON object or array is wanted, not 'file.json'" in capsys.readouterr().err


def test_other_commands_take_a_file_only(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["show", "late-task", "--json", '{"a": 1}'])
    assert ended.value.code == 64
    assert "--json: a FILE is wanted, not a JSON body" in capsys.readouterr().err


PROJECT = """
[parts]
app = "shop.worker"
api = "shop.main:app"
ready = "/up"
queue = ["high", "low"]
env = {MODE = "x", URL = "{broker}"}

[workloads.order]
post = "/tasks"
json = {type = 1}
header = {X-User = "me"}
status = "/tasks/{id}"

[promises]
baseline = "accepted.toml"
"""
SECOND = """
[workloads.send]
task = "shop.send"
args = [1, "a"]
kwargs = {b = 2}
"""


@pytest.mark.parametrize("file", ["brownout.toml", "pyproject.toml"])
def test_a_projects_file_gives_what_was_not_typed(place: Path, asked: list[Any], file: str) -> None:
    text = PROJECT if file == "brownout.toml" else PROJECT.replace("\n[", "\n[tool.brownout.")
    (place / file).write_text(text)
    made = experiment(asked)
    app = made.application
    assert (app.celery, app.api, app.ready, app.queues) == ("shop.worker", "shop.main:app", "/up", ("high", "low"))
    assert dict(app.env) == CELERY_ENV | {"MODE": "x", "URL": "{broker}"}
    assert made.workload.http == Http("POST", "/tasks", {"type": 1}, {"X-User": "me"})
    assert (made.title, app.status, asked[-1].baseline) == ("own/order", "/tasks/{task}", "accepted.toml")


def test_the_command_line_wins(place: Path, asked: list[Any]) -> None:
    (place / "brownout.toml").write_text(PROJECT)
    made = experiment(asked, "--env", "MODE=y", "--queue", "one", "--ready", "/", "--baseline", "b.toml")
    assert dict(made.application.env) == CELERY_ENV | {"MODE": "y", "URL": "{broker}"}
    assert (made.application.queues, made.application.ready) == (("one",), "/")
    assert asked[-1].baseline == "b.toml"
    assert experiment(asked, "--json", "-").workload.http == Http("POST", "/tasks", {"type": 1}, {"X-User": "me"})
    assert experiment(asked, "--json", "[2]").workload.http == Http("POST", "/tasks", [2], {"X-User": "me"})
    made = experiment(asked, "--task", "shop.other")
    assert (made.workload.http, made.task, made.application.celery) == (None, "shop.other", "shop.worker")
    assert experiment(asked, "--project", "none").application_name == "brownout.explore.experiment:STOCK"


def test_one_of_several_workloads(place: Path, asked: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    (place / "other.toml").write_text(PROJECT + SECOND)
    made = experiment(asked, "--project", "other.toml", "--workload", "send")
    assert (made.task, made.args, made.kwargs) == ("shop.send", (1, "a"), {"b": 2})
    assert made.title == "defaults/send"
    assert asked[-1].words(made)[-2:] == ("--workload", "send")
    assert main(["map", "--project", "other.toml"]) == 64
    assert "other.toml has several workloads; which one? --workload order, send" in capsys.readouterr().err
    assert main(["map", "--project", "other.toml", "--workload", "sned"]) == 64
    assert "no workload is called 'sned'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[part]", "brownout.toml: no key of the file is called 'part'; did you mean 'parts'"),
        ("[parts]\napi-url = 'x'", "no key of parts is called 'api-url'; did you mean 'api'"),
        ("[workloads.a]\npots = '/'", "no key of workloads.a is called 'pots'; did you mean 'post'"),
        ("[promises]\nbaselin = 'x'", "no key of promises is called 'baselin'; did you mean 'baseline'"),
        ("[parts]\nenv = 'A=1'", "brownout.toml: parts.env is a table, not 'A=1'"),
        ("[parts]\napp = 3", "brownout.toml: parts.app is a text or list, not 3"),
        ("[workloads.a]\nargs = '[1]'", "workloads.a.args is a list, not '[1]'"),
        ("workloads = 3", "workloads is a table, not 3"),
        ("[promises]\nbaseline = 3", "promises.baseline is the name of a file, not 3"),
        ("[parts", "brownout.toml: Expected ']'"),
    ],
)
def test_a_wrong_file(place: Path, asked: list[Any], text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "brownout.toml").write_text(text)
    assert main(["map"]) == 64
    assert said in capsys.readouterr().err


def test_a_file_that_is_not_there_and_one_that_is_of_others(
    place: Path, asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "pyproject.toml").write_text("[tool.other]\nx = 1")
    assert experiment(asked).application_name == "brownout.explore.experiment:STOCK"
    assert main(["map", "--project", "missing.toml"]) == 64
    assert "missing.toml" in capsys.readouterr().err
