"""`brownout lint` without an application: options, output, exit codes."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from brownout.cli import main
from brownout.lint.facts import Call, Celery, Facts, Route, Task
from brownout.subject.application import NotImportable

TASKS = tuple(Task(f"shop.task_{number}") for number in range(7))
BAD = Facts(Celery(tasks=TASKS), (Route("POST /send", (Call("publish", "shop.task_1", "shop.py", 9, on_loop=True),)),))
GOOD = Facts(Celery(channel_error_retry=True, socket_timeout=2.0))
ASKED = ("lint", "--app", "shop.worker")


@dataclass
class Read:
    """An application that is never imported: what is read of it, and how it was asked for."""

    facts: Facts = GOOD
    asked: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    pythons: list[str] = field(default_factory=list)

    def __call__(self, celery: str, api: str, root: Path, env: Mapping[str, str], python: str) -> Facts:
        assert root == Path.cwd()
        self.asked.append((celery, api, env))
        self.pythons.append(python)
        return self.facts


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Read:
    read = Read()
    monkeypatch.setattr("brownout.lint.facts.read", read)
    return read


def test_nothing_is_found(application: Read, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ASKED) == 0
    assert capsys.readouterr().out == "no findings by 12 rules\n"


def test_findings_are_told_by_rule(application: Read, capsys: pytest.CaptureFixture[str]) -> None:
    application.facts = BAD
    assert main([*ASKED, "--only", "early-ack", "publish-on-loop"]) == 1
    text = capsys.readouterr().out
    assert "✗ early-ack: the message is acknowledged before the task runs" in text
    assert "    shop.task_0: the task is acknowledged before it runs" in text
    assert "    and 2 more\n" in text
    assert "shop.task_5:" not in text
    assert "    POST /send (shop.py:9): publishes shop.task_1 on the event loop" in text
    assert "  Shown by  brownout map 'worker->broker/ZREM#1/after-kill'\n" in text
    assert text.endswith("findings: 8, by 2 of 2 rules\n")


def test_rules_can_be_left_out(application: Read, capsys: pytest.CaptureFixture[str]) -> None:
    application.facts = BAD
    assert main([*ASKED, "--ignore", "early-ack", "publish-on-loop", "channel-error-ends-worker"]) == 1
    assert capsys.readouterr().out.count("✗") == 1


def test_json(application: Read, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """On standard output in place of the text, in a file beside it."""
    application.facts = BAD
    only = ("--only", "no-socket-timeout")
    assert main([*ASKED, *only, "--json", "-"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert found["rule"] == "no-socket-timeout"
    assert found["where"] == "Celery's settings"
    assert set(found) == {"rule", "where", "what", "goes_wrong", "mend", "shown_by"}
    assert main([*ASKED, *only, "--json", str(tmp_path / "new" / "found.json")]) == 1
    assert json.loads((tmp_path / "new" / "found.json").read_text()) == [found]
    assert "✗ no-socket-timeout" in capsys.readouterr().out


def test_the_application_is_asked_as_it_was_named(application: Read) -> None:
    main([*ASKED, "--api", "shop.main:app", "--env", "A=1", "B=x=y"])
    assert application.asked == [("shop.worker", "shop.main:app", {"A": "1", "B": "x=y"})]


def test_the_python_of_the_application(application: Read, tmp_path: Path) -> None:
    """An environment is named by its folder, or by its Python."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    (tmp_path / "pyvenv.cfg").write_text("")
    main([*ASKED, "--python", str(tmp_path)])
    main([*ASKED, "--python", str(python)])
    assert application.pythons == [str(python)] * 2


def test_the_projects_file_names_the_application(
    application: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other parts, and its workloads, are for other commands."""
    monkeypatch.chdir(tmp_path)
    parts = '[parts]\napp = "shop.worker"\napi = "uvicorn shop.main:app"\nqueue = "high"\nenv = {A = "1"}\n'
    (tmp_path / "mine.toml").write_text(f'{parts}[workloads.a]\ntask = "a"\n[workloads.b]\ntask = "b"\n')
    assert main(["lint", "--project", "mine.toml"]) == 0
    assert main(["lint", "--project", "mine.toml", "--app", "other"]) == 0
    assert [asked[:2] for asked in application.asked] == [
        *(("shop.worker", "shop.main:app"), ("other", "shop.main:app"))
    ]
    assert application.asked[0][2] == {"A": "1"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lint"], "what is to be read? --app, --api or both"),
        ([*ASKED, "--only", "early-akc"], "no rule is called 'early-akc'; did you mean 'early-ack'"),
        ([*ASKED, "--ignore", "socket-timeout"], "did you mean 'no-socket-timeout'"),
        ([*ASKED, "--api", "flask run"], "uvicorn"),
        ([*ASKED, "--env", "A"], "--env is NAME=VALUE: 'A'"),
    ],
)
def test_a_wrong_command(words: list[str], said: str, application: Read, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 64
    assert said in capsys.readouterr().err


def test_a_broker_that_is_not_redis(application: Read, capsys: pytest.CaptureFixture[str]) -> None:
    application.facts = Facts(Celery(transport="amqp"))
    assert main(ASKED) == 2
    assert capsys.readouterr().err == (
        "brownout lint: error: the broker of shop.worker is amqp, and the rules are about Redis\n"
    )


def test_an_application_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(*_: object) -> Facts:
        raise NotImportable("ModuleNotFoundError: No module named 'shop'", "shop.worker")

    monkeypatch.setattr("brownout.lint.facts.read", read)
    assert main(ASKED) == 2
    assert "there is no module shop; type the command in the directory that has it" in capsys.readouterr().err
