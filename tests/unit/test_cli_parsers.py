"""What can be typed: walks all commands and all their options."""

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from typing import get_args

import pytest

from brownout.cli import main
from brownout.cli.main import parser
from brownout.cli.parser import Parser, command, option
from brownout.subject.servers.redis_server import RungName

ROOT = Path(__file__).parents[2]


def walk(whole: Parser) -> Iterator[Parser]:
    """The parsers of all commands, and of the commands below them."""
    for action in whole._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield one
                yield from walk(one)


COMMANDS = {one.prog.removeprefix("brownout "): one for one in walk(parser())}


RUNS = {"map": "brownout.cli.map.run", "pairs": "brownout.cli.pairs.run", "show": "brownout.cli.stored.show.run",
        "diff": "brownout.cli.stored.diff.run", "list points": "brownout.cli.stored.list.list_points",
        "report": "brownout.cli.stored.report.run", "replay": "brownout.cli.replay.run",
        "shrink": "brownout.cli.shrink.run", "merge": "brownout.cli.stored.merge.run",
        "pin": "brownout.cli.stored.pin.run",
        "lint": "brownout.cli.project.lint.run", "doctor": "brownout.cli.project.doctor.run",
        "init": "brownout.cli.project.init.run"}  # fmt: skip


def options(one: Parser) -> Iterator[argparse.Action]:
    yield from (action for action in one._actions if not {"-h", "--help"} & {*action.option_strings})


def examples(text: str) -> list[str]:
    return re.findall(r"^  (brownout .*)$", text.partition("examples:\n")[2], re.MULTILINE)


def test_every_command_with_options_is_looked_at() -> None:
    assert {name for name in COMMANDS if any(field.option_strings for field in options(COMMANDS[name]))} == {*RUNS}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_examples_and_exit_codes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*name.split(), "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert examples(text)
    assert "143 after SIGTERM" in text
    assert any(example.startswith(f"brownout {name.partition(' ')[0]} ") for example in examples(text))


@pytest.mark.parametrize("line", sorted({line for one in COMMANDS.values() for line in examples(one.format_help())}))
def test_every_example_can_be_typed(line: str) -> None:
    assert callable(parser().parse_args(shlex.split(line)[1:]).run)


BIN = r"\.(?:tox/\w+|venv)/bin/"


def written(path: Path) -> Iterator[str]:
    """The commands that a document shows, in backticks or in a block."""
    text = path.read_text()
    if path.name == "CHANGELOG.md":
        text = re.sub(r"^ *\| `.*?` \|", "|", text, flags=re.MULTILINE)  # as it was once typed
    text = re.sub(r"\$\{\{.*?\}\}|\$\w+", "1", text)  # what a CI system puts in the place of its variables
    yield from re.findall(rf"`(?:{BIN})?(brownout [a-z][^`]*)`", text)
    yield from re.findall(rf"^ *(?:- )?(?:{BIN})?(brownout [a-z].*?)(?: \{{posargs\}})?$", text, re.MULTILINE)


DOCUMENTS = [*ROOT.glob("*.md"), ROOT / "tox.ini", *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.py")]


@pytest.mark.parametrize("line", sorted({line for path in DOCUMENTS for line in written(path)}))
def test_every_command_in_a_document_can_be_typed(line: str) -> None:
    assert callable(parser().parse_args(shlex.split(line.replace("[CELL …]", "CELL"))[1:]).run)


def test_the_commands_of_the_documents_are_found() -> None:
    assert len({line for path in DOCUMENTS for line in written(path)}) > 30
    assert "brownout map --config late 'worker->broker/ZADD#1/before-cut' --repeat 10" in {*written(ROOT / "README.md")}
    assert "brownout pairs" in {*written(ROOT / "CHANGELOG.md")}
    assert "brownout map --baseline docs/maps/baseline.toml" in {*written(ROOT / "tox.ini")}
    assert len([line for line in written(ROOT / "docs" / "ci.md") if "--shard 1/" in line]) == 3
    merges = [line for line in written(ROOT / "docs" / "ci.md") if line.startswith("brownout merge ")]
    assert len(merges) == 5


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_its_default(name: str) -> None:
    for field in options(COMMANDS[name]):
        if field.option_strings or field.nargs == "*":
            assert "(default: " in (field.help or ""), field.option_strings


#: What may be typed for an option, where a word will not do.
VALUES = {"--args": "[1]", "--kwargs": '{"a": 1}', "--jobs": "3", "--repeat": "3", "--sample": "3", "--seed": "3",
          "--provider": "local", "--json": "-", "--tries": "5", "--project": "none", "--confirm": "3/4",
          "--warm-up": "30", "--shard": "2/4"}  # fmt: skip


@pytest.mark.parametrize(("name", "run"), RUNS.items(), ids=RUNS)
def test_every_option_reaches_its_command(monkeypatch: pytest.MonkeyPatch, name: str, run: str) -> None:
    """Each option changes the value that the command is given, and is typed by a test that sees what it does."""
    files = (
        *("test_cli.py", "test_cli_capsules.py", "test_cli_report.py"),
        *("test_cli_lint.py", "test_cli_http.py", "test_project.py"),
    )
    tests = "".join((ROOT / "tests" / "unit" / file).read_text() for file in files)
    asked: list[object] = []

    def given(options: object) -> int:
        asked.append(options)
        return 0

    monkeypatch.setattr(run, given)
    arguments = [field.dest for field in options(COMMANDS[name]) if not field.option_strings and field.nargs != "*"]
    main([*name.split(), *arguments])
    for field in options(COMMANDS[name]):
        for flag in field.option_strings:
            words = [] if field.nargs == 0 else [VALUES.get(flag, "word")]
            main([*name.split(), *arguments, flag, *words])
            assert asked[-1] != asked[0], flag
            assert f'"{flag}"' in tests, flag
    main([*name.split(), *arguments])
    assert asked[-1] == asked[0]


def test_the_providers_are_those_that_there_are() -> None:
    (found,) = (field for field in options(COMMANDS["map"]) if "--provider" in field.option_strings)
    assert sorted(found.choices or ()) == sorted(("auto", *get_args(RungName)))


@dataclass(frozen=True, kw_only=True)
class Base:
    """What many have. More of it."""

    many: tuple[str, ...] = option("--many WORD", "words (default: none)", nargs="+", action="extend", default=[])


@dataclass(frozen=True, kw_only=True)
class Own(Base):
    """Its own."""

    first: str = option("FIRST", "an argument")
    file: Path | None = option("--file FILE", "is written (default: none)", type=Path)


def test_a_command_is_given_a_frozen_value(tmp_path: Path) -> None:
    whole, asked = Parser(prog="brownout"), list[Own]()

    def run(options: Own) -> int:
        asked.append(options)
        return 7

    commands = whole.add_subparsers(dest="command")
    one = command(commands, "own", "do something", "brownout own x", Own, run)
    given = whole.parse_args(["own", "x", "--many", "a", "b", "--many", "c", "--file", f"{tmp_path}/new/file"])
    assert given.run(given) == 7
    assert asked == [Own(first="x", many=("a", "b", "c"), file=tmp_path / "new" / "file")]
    assert (tmp_path / "new").is_dir()
    with pytest.raises(FrozenInstanceError):
        asked[0].first = "y"  # type: ignore[misc]  # that is the point
    assert whole.parse_args(["own", "x"]).many == []
    assert re.findall(r"^(\S.*):$", one.format_help(), re.MULTILINE) == [
        *("options", "its own", "what many have", "examples", "exit codes")
    ]


def test_help_needs_neither_celery_nor_the_engine() -> None:
    """It is quick, and works where the application's libraries are not installed."""
    code = "import sys; from brownout.cli.main import parser; parser(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "brownout.cli.map" in loaded
    assert not loaded & {"celery", "kombu", "redis", "httpx", "rich", "pytest", "asyncio", "brownout.run.trial"}


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code in (None, 0)
    assert re.fullmatch(r"brownout (\d+\.\d+\.\d+\S*|not installed)\n", capsys.readouterr().out)
