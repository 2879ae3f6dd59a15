"""Reads the commands by which an owner starts a worker and an API. Pure.

`cd DIR &&`, NAME=VALUE and runners such as `poetry run` may stand before the command.
"""

from __future__ import annotations

import argparse
import re
import shlex
from dataclasses import dataclass, field
from typing import Any, NoReturn

#: Words that only lead to the command; they are skipped, because the application's own Python starts the command
#: anyway.
RUNNERS = ("exec", "poetry", "pipenv", "uv", "pdm", "rye", "hatch", "run")
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
    folder, env, words = _before(text, "celery")
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


def api(text: str) -> Command:
    """Read `uvicorn MODULE:APP OPTIONS`, the same command with gunicorn or hypercorn, or only MODULE:APP. Raises
    Unread.

    The trial serves the API by uvicorn, at an address that the trial chooses. Only the options that say which
    application is meant are kept, namely `--factory`, `--app-dir`, `--chdir` and `--env-file`.
    """
    if re.fullmatch(r"\S+:\S+", text):
        text = f"uvicorn {text}"
    folder, env, words = _before(text, "uvicorn", "gunicorn", "hypercorn")
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


def _before(text: str, *programs: str) -> tuple[str, dict[str, str], list[str]]:
    """Return the folder, the environment variables, and the words after the program's name. Raises Unread."""
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
            return folder, env, words
        if _ASSIGNED.match(word):
            env[word.partition("=")[0]] = word.partition("=")[2]
        elif program.startswith("python") and words[:1] == ["-m"]:
            words.pop(0)
        elif word not in (*RUNNERS, "env"):
            break
    raise Unread(f"a command that starts with {' or '.join(programs)} is wanted, not {shlex.join(original)!r}")
