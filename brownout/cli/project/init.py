"""`brownout init`: looks at a project, and writes its file and a first scenario."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brownout.cli.parser import MANY, Commands, Usage, command, option

if TYPE_CHECKING:
    from brownout.project.look import Guess

EXAMPLES = """\
brownout init
brownout init --app shop.worker --api shop.main:app --env REDIS_URL={broker}"""
INIT_EXIT_CODES = """exit codes:
  0 something was written, 1 all files are there and stay as they are, 2 the application cannot be read,
  64 wrong command, 130 after Ctrl-C (SIGINT), 143 after SIGTERM"""
_FILE = "brownout.toml"


@dataclass(frozen=True, kw_only=True)
class InitOptions:
    """What is known."""

    app: str | None = option("--app MODULE", "the Celery application, as for `celery -A` (default: what is found)")
    api: str | None = option("--api MODULE:NAME", "the ASGI application (default: what is found)")
    env: tuple[str, ...] = option("--env NAME=VALUE", "variables of the application (default: what is found)", **MANY)
    scenario: str = option(
        "--scenario FILE", "where the scenario goes (default: %(default)s)", default="tests/chaos/test_first.py"
    )


def add(commands: Commands) -> None:
    """Add the command."""
    what = "look at the project in this folder, and write brownout.toml and a first scenario"
    command(commands, "init", what, EXAMPLES, InitOptions, run, INIT_EXIT_CODES)


def run(options: InitOptions) -> int:
    """Write what is not there yet, and say what was guessed; returns the exit code."""
    from brownout.lint.facts import read
    from brownout.project.files import guesses, project_file, scenario
    from brownout.project.look import Guess, look
    from brownout.project.workload import choose, patience, ready
    from brownout.subject import commands
    from brownout.subject.environment import Unusable, python_of

    files = [path for path in (Path(_FILE), Path(options.scenario)) if not path.exists()]
    for path in {Path(_FILE), Path(options.scenario)} - {*files}:
        sys.stdout.write(f"{path} is there, and stays as it is\n")
    if not files:
        return 1
    found = look(Path.cwd())
    typed = "it was typed"
    if options.app:
        found.celery = Guess(options.app, typed)
        found.folders.pop("worker", None)
    try:
        if options.api:
            api = commands.api(options.api)
            found.api = Guess(api.name, typed)
            found.folders = {**found.folders, "api": api.folder}
    except commands.Unread as error:
        raise Usage(error) from error
    found.folders = {role: folder for role, folder in found.folders.items() if folder != "."}
    for word in options.env:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise Usage(f"--env is NAME=VALUE: {word!r}")
        found.env[name] = Guess(value, typed)
    if found.celery is None:
        return _unread("no Celery application was found here: --app MODULE names it")
    env = {name: guess.value for name, guess in found.env.items() if guess.why == typed or name not in os.environ}
    try:
        root = Path.cwd()
        api_name = found.api.value if found.api else ""
        facts = read(found.celery.value, api_name, root, env, python_of(root), found.folders)
    except Unusable as error:
        _tell(guesses(found, None), found.others)
        return _unread(f"{error}\nsay it better with --app, --api and --env")
    sent, found.ready = choose(facts), ready(facts)
    first = scenario(found, sent, patience(facts)) if sent else ""
    _tell(guesses(found, sent), found.others)
    texts = {Path(_FILE): project_file(found, sent), Path(options.scenario): first}
    for path in (path for path in files if texts[path]):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x") as file:  # it may have come meanwhile
            file.write(texts[path])
        sys.stdout.write(f"written  {path}\n")
    if not sent:
        sys.stdout.write("no task was found: name the module that has them with --app\n")
    sys.stdout.write("Next     brownout doctor\n")
    return 0


def _tell(told: list[tuple[str, Guess]], others: list[str]) -> None:
    for name, guess in told:
        sys.stdout.write(f"{name:<8} {guess.value}\n           {guess.why}\n")
    for other in others:
        sys.stdout.write(f"or       {other}\n")


def _unread(why: str) -> int:
    sys.stderr.write(f"brownout init: error: {why}\n")
    return 2
