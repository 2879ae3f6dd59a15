"""`brownout lint`: what will go wrong, read from an application's settings and code; nothing is started."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brownout.cli.application import PROJECT, PYTHON, ApplicationOptions
from brownout.cli.parser import MANY, Commands, Usage, command, option

EXAMPLES = """\
brownout lint --app shop.worker --api shop.main:app
brownout lint --app shop.worker --only early-ack no-socket-timeout
brownout lint --api shop.main:app --json -"""
LINT_EXIT_CODES = """exit codes:
  0 nothing was found, 1 there are findings, 2 the application cannot be read,
  64 wrong command, 130 after Ctrl-C (SIGINT), 143 after SIGTERM"""


@dataclass(frozen=True, kw_only=True)
class LintOptions:
    """What is read."""

    app: str = option("--app MODULE", "the Celery application, as for `celery -A` (default: none)", default="")
    api: str = option("--api MODULE:NAME", "the ASGI application, or a factory with () (default: none)", default="")
    env: tuple[str, ...] = option("--env NAME=VALUE", "environment of the application (default: this one)", **MANY)
    only: tuple[str, ...] = option("--only RULE", "only these rules (default: all)", **MANY)
    ignore: tuple[str, ...] = option("--ignore RULE", "all but these rules (default: none)", **MANY)
    json: Path | None = option("--json FILE", "write it as JSON, - for standard output (default: text)", type=Path)
    python: str | None = option("--python PATH", PYTHON)
    project: str | None = option("--project FILE", PROJECT)

    @classmethod
    def fill(cls, values: Mapping[str, Any], typed: Collection[str]) -> Mapping[str, Any]:
        """The options, with those of the project's file for what was not typed. Raises Usage, UnknownName."""
        from brownout.cli.options.project import fill

        return fill(cls, values, typed, ApplicationOptions)


def add(commands: Commands) -> None:
    """Add the command."""
    what = "name what will go wrong, from the application's settings and code; start nothing"
    command(commands, "lint", what, EXAMPLES, LintOptions, run, LINT_EXIT_CODES)


def run(options: LintOptions) -> int:
    """Print the findings; returns the exit code."""
    from brownout.lint.facts import read
    from brownout.lint.table import RULES
    from brownout.lint.text import text
    from brownout.plan.near import known
    from brownout.subject import commands
    from brownout.subject.environment import Unusable, interpreter, python_of

    if not options.app and not options.api:
        raise Usage("what is to be read? --app, --api or both")
    if wrong := [word for word in options.env if not word.partition("=")[1]]:
        raise Usage(f"--env is NAME=VALUE: {wrong[0]!r}")
    only = [known("rule", name, RULES) for name in options.only] or list(RULES)
    ignored = {known("rule", name, RULES) for name in options.ignore}
    env = {name: value for name, _, value in (word.partition("=") for word in options.env)}
    try:
        api = commands.api(options.api).name if options.api else ""
    except commands.Unread as error:
        raise Usage(error) from error
    try:
        python = interpreter(options.python) if options.python else python_of(Path.cwd())
        facts = read(options.app, api, Path.cwd(), env, python)
    except Unusable as error:
        return _unread(str(error))
    if facts.celery and facts.celery.transport != "redis":
        return _unread(f"the broker of {options.app} is {facts.celery.transport}, and the rules are about Redis")
    rules = [rule for name, rule in RULES.items() if name in only and name not in ignored]
    findings = [finding for rule in rules for finding in rule.findings(facts)]
    content = json.dumps([finding.as_json() for finding in findings], indent=2) + "\n"
    if options.json and options.json != Path("-"):
        options.json.write_text(content)
    sys.stdout.write(content if options.json == Path("-") else text(findings, len(rules)))
    return 1 if findings else 0


def _unread(why: str) -> int:
    sys.stderr.write(f"brownout lint: error: {why}\n")
    return 2
