"""Reads the commands by which an owner starts a worker and an API. Pure, but `fastapi run` asks what is in files.

`cd DIR &&`, NAME=VALUE and runners such as `poetry run` may stand before the command.
"""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

#: Words that only lead to the command; they are skipped, because the application's own Python starts the command
#: anyway.
RUNNERS = ("exec", "poetry", "pipenv", "uv", "pdm", "rye", "hatch", "run")
#: Where `fastapi run` looks when it is given no file (fastapi_cli.discover).
DEFAULT_FILES = ("main.py", "app.py", "api.py", "app/main.py", "app/app.py", "app/api.py")
#: Returns the text of a file, None where there is none.
Read = Callable[[str], str | None]
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")


class Unread(ValueError):
    """A command that brownout cannot read; the message is one line that says which commands can be read."""


@dataclass(frozen=True)
class Command:
    """The contents of a command, in which `name` is the argument of `celery -A`, or the ASGI application, and `options`
    are all other options."""

    name: str
    folder: str = "."
    env: dict[str, str] = field(default_factory=dict)
    queues: tuple[str, ...] = ()
    pool: str = "prefork"
    concurrency: int = 1
    options: tuple[str, ...] = ()
    env_file: str = ""


class _Words(argparse.ArgumentParser):
    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise Unread(message)


def worker(text: str) -> Command:
    """Read `celery -A NAME worker OPTIONS`. Raises Unread.

    The trial itself sets names, log levels, log files and pid files of workers; every other option is kept. A worker
    without `-c` has one pool process, because a trial sends one task.
    """
    folder, env, words, _ = _before(text, "celery")
    own = _Words()
    for flag, more in (("-A", "--app"), ("-b", "--broker"), ("--result-backend", ""), ("--workdir", "")):
        own.add_argument(*filter(None, (flag, more)), dest=flag.strip("-"))
    before, rest = own.parse_known_args(words)
    if "worker" not in rest:
        raise Unread(f"a worker's command is celery -A NAME worker, not {text!r}")
    rest.remove("worker")
    options = _Words()
    options.add_argument("-Q", "--queues", default="")
    options.add_argument("-P", "--pool", default="prefork")
    options.add_argument("-c", "--concurrency", type=int, default=1)
    for left_out in ("-n --hostname", "-l --loglevel", "-f --logfile", "--pidfile", "-S --scheduler"):
        options.add_argument(*left_out.split(), dest="left_out")
    for flag in ("-D --detach", "-B --beat"):
        options.add_argument(*flag.split(), dest="left_out", action="store_true")
    read, others = options.parse_known_args(rest)
    found: dict[str, Any] = vars(before)
    if not found["A"]:
        raise Unread(f"a worker's command names its application with -A: {text!r}")
    pool = {"processes": "prefork"}.get(read.pool, read.pool)
    queues = tuple(filter(None, read.queues.split(",")))
    name, place = found["A"], found["workdir"] or "."
    folder = place if folder == "." else f"{folder}/{place}" if place != "." else folder
    return Command(name, folder, env, queues, pool, read.concurrency, tuple(others))


def _in_file(path: str) -> str | None:
    return Path(path).read_text(errors="replace") if Path(path).is_file() else None


def api(text: str, read_file: Read = _in_file) -> Command:
    """Read `uvicorn MODULE:APP OPTIONS`, the same by gunicorn or hypercorn, MODULE:APP alone, or `fastapi run FILE`.
    Raises Unread.

    The API is served by uvicorn, at an address of the trial's own. Of the options only those count that say which
    application it is: `--factory`, `--app-dir`, `--chdir` and `--env-file`; `--app` and `--entrypoint` of fastapi.
    """
    if re.fullmatch(r"\S+:\S+", text):
        text = f"uvicorn {text}"
    folder, env, words, program = _before(text, "uvicorn", "gunicorn", "hypercorn", "fastapi")
    if program == "fastapi":
        return _fastapi(text, folder, env, words, read_file)
    options = _Words()
    options.add_argument("--factory", action="store_true")
    options.add_argument("--app-dir", "--chdir", default="")
    options.add_argument("--env-file", default="")
    read, others = options.parse_known_args(words)
    named = [word for word in others if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*(\(\))?", word)]
    if not named:
        raise Unread(f"an API's command is uvicorn MODULE:APP, not {text!r}")
    name = named[0] if not read.factory or named[0].endswith("()") else f"{named[0]}()"
    if read.app_dir:
        folder = read.app_dir if folder == "." else f"{folder}/{read.app_dir}"
    return Command(name, folder, env, env_file=read.env_file)


def _fastapi(text: str, folder: str, env: dict[str, str], words: list[str], read_file: Read) -> Command:
    """The application that `fastapi run` or `fastapi dev` finds in its file, as fastapi_cli.discover finds it."""
    options = _Words()
    options.add_argument("command", choices=("run", "dev"))
    options.add_argument("file", nargs="?", default="")
    options.add_argument("--app", default="")
    options.add_argument("-e", "--entrypoint", default="")
    for left_out in ("--host", "--port", "--root-path", "--workers", "--reload-dir", "--forwarded-allow-ips"):
        options.add_argument(left_out)
    try:
        asked, _ = options.parse_known_args(words)
    except Unread as error:
        raise Unread(f"an API's command is fastapi run FILE, not {text!r}: {error}") from error

    def there(path: object) -> str | None:
        return read_file(str(PurePosixPath(folder) / str(path)))

    entry = asked.entrypoint or ("" if asked.file else _entrypoint(there("pyproject.toml")))
    if entry:
        return Command(entry, folder, env)
    file = asked.file or next((file for file in DEFAULT_FILES if there(file) is not None), "")
    if not file or (source := there(file)) is None:
        raise Unread(f"{text!r} names no file that is there; it is fastapi run FILE")
    module = PurePosixPath(file).parent if file.endswith("__init__.py") else PurePosixPath(file).with_suffix("")
    parts, place = [module.name], module.parent
    while place.name and there(place / "__init__.py") is not None:
        parts, place = [place.name, *parts], place.parent
    name = asked.app or _application(source)
    if not name:
        raise Unread(f"{file} has no FastAPI application that can be read from its text; name it with --app")
    return Command(f"{'.'.join(parts)}:{name}", str(PurePosixPath(folder) / place), env)


def _entrypoint(pyproject: str | None) -> str:
    try:
        table = tomllib.loads(pyproject or "").get("tool", {}).get("fastapi", {})
    except ValueError:
        return ""
    return str(table.get("entrypoint", ""))


def _application(source: str) -> str:
    """The name of the application in a module: `app` or `api`, else the first that is assigned a `FastAPI(...)`."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return ""
    made: dict[str, bool] = {}  # each name of the module, and whether it is a call of FastAPI
    for node in body:
        if isinstance(node, ast.ImportFrom):
            made |= {alias.asname or alias.name: False for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            call = ast.unparse(node.value.func) if isinstance(node.value, ast.Call) else ""
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (target.id for target in targets if isinstance(target, ast.Name))
            made |= dict.fromkeys(names, call.rpartition(".")[2] == "FastAPI")
    usual = (name for name in ("app", "api") if name in made)
    return next(usual, next((name for name, calls in made.items() if calls), ""))


def _before(text: str, *programs: str) -> tuple[str, dict[str, str], list[str], str]:
    """The folder, the variables, the words after the program's name, and this name. Raises Unread."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Unread(f"{text!r}: {error}") from error
    folder, original = ".", list(words)
    env: dict[str, str] = {}
    if words[:1] == ["cd"] and words[2:3] == ["&&"]:
        folder, words = words[1], words[3:]
    while words:
        word = words.pop(0)
        program = word.rpartition("/")[2]
        if program in programs:
            return folder, env, words, program
        if _ASSIGNED.match(word):
            env[word.partition("=")[0]] = word.partition("=")[2]
        elif program.startswith("python") and words[:1] == ["-m"]:
            words.pop(0)
        elif word not in (*RUNNERS, "env"):
            break
    raise Unread(f"a command that starts with {' or '.join(programs)} is wanted, not {shlex.join(original)!r}")
