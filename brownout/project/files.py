"""The files that `brownout init` writes: the project's file, and a first scenario."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from brownout.project.look import Found, Guess
from brownout.project.workload import Sent

KEY = re.compile(r"[\w-]+")
WIDTH = 80  # of an argument in the scenario, whose line begins with eight spaces


def toml(value: Any) -> str:
    """Return a JSON value as TOML, in one line. TOML has no null: a None in a table is left out, and any other None
    becomes an empty text."""
    if isinstance(value, Mapping):
        items = (f"{_key(name)} = {toml(item)}" for name, item in value.items() if item is not None)
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps("" if value is None else value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def project_file(found: Found, sent: Sent | None) -> str:
    """Return the text of the file brownout.toml, which has the reason for each value above the value."""
    lines = ["# Written by `brownout init`: check each line. `brownout doctor` tries all of it once.", "", "[parts]"]
    for name, guess in _parts(found):
        lines += _line(name, guess.value, guess.why)
    if found.queues:
        lines += _line("queue", found.queues.value.split(","), found.queues.why)
    if found.env:
        whys = "; ".join(f"{name}: {guess.why}" for name, guess in found.env.items())
        lines += _line("env", {name: guess.value for name, guess in found.env.items()}, whys)
    if sent:
        lines += ["", f"[workloads.{_key(sent.name)}]"]
        for name, value in sent.values.items():
            lines += _line(name, value, sent.why.get(name, ""))
    return "\n".join(lines) + "\n"


def _parts(found: Found) -> list[tuple[str, Guess]]:
    """The application, the API and its path, by the options that say them. A part with a folder of its own is given by
    its command."""
    worker, api = (found.folders.get(role) for role in ("worker", "api"))
    parts = [("app", found.celery), ("api", found.api), ("ready", found.ready)]
    named = {name: guess for name, guess in parts if guess}
    if worker and found.celery:
        command = f"cd {worker} && celery -A {found.celery.value} worker"
        named = {"worker": Guess(command, found.celery.why), **named}
        del named["app"]
    if api and found.api:
        factory = " --factory" if found.api.value.endswith("()") else ""
        command = f"cd {api} && uvicorn{factory} {found.api.value.removesuffix('()')}"
        named["api"] = Guess(command, found.api.why)
    return list(named.items())


def _line(name: str, value: Any, why: str) -> list[str]:
    return [*([f"# {' '.join(why.split())}"] if why else []), f"{name} = {toml(value)}"]


def scenario(found: Found, sent: Sent, patience: float = 0.0) -> str:
    """A test that kills a worker in the middle of a task, and then waits for `patience` seconds if that is needed."""
    http = next((method for method in ("post", "put") if method in sent.values), "")
    load = "submit" if not http else "post"
    if http:
        body = f", json={_code(sent.values['json'])}" if "json" in sent.values else ""
        sends = f'post({_code(sent.values[http])}{body}, every="2s", count=3)'
    else:
        args = "".join(f", {_code(argument)}" for argument in sent.values.get("args", ()))
        sends = f'submit({_code(sent.values["task"])}{args}, every="2s", count=3)'
    env = {"CELERY_BROKER_URL": "{broker}", "CELERY_RESULT_BACKEND": "{backend}"}
    env |= {name: guess.value for name, guess in found.env.items()}
    roles = ("worker", "api") if http else ("worker",)
    fields = {
        "celery": found.celery and found.celery.value,
        "api": found.api and found.api.value if http else None,
        "ready": found.ready.value if http and found.ready else None,
        "status": sent.values["status"].replace("{id}", "{task}") if "status" in sent.values else None,
        "queues": tuple(found.queues.value.split(",")) if found.queues else None,
        "env": env,
        "env_file": ".env" if found.env_file else None,
        "folders": {role: found.folders[role] for role in roles if role in found.folders},
    }
    arguments = "\n        ".join(_argument(name, value) for name, value in fields.items() if value)
    drain = f'    lab.drain("{patience:g}s")  # until kombu has delivered the task again\n' if patience else ""
    topology = "" if http else "    lab.topology(servers=0)\n"
    return f'''"""A first scenario, written by `brownout init`: the worker is killed in the middle of a task.

It is red where a killed worker takes its task along, as Celery's defaults do. `brownout lint` says what mends it.
"""

import pytest

from brownout import Application, Lab, at_least_once, kill, {load}, started


@pytest.fixture(scope="session")
def application() -> Application:
    return Application(
        {arguments}
    )


@pytest.mark.chaos
def test_a_killed_worker_loses_nothing(lab: Lab) -> None:
{topology}    lab.load({sends})
    lab.inject(kill(children=True), on="worker-1", when=started(nth=2, delay="100ms"))
    # "ended": the tasks record no effect that brownout could read. "accounting": what is nowhere is lost at once.
    lab.promise(at_least_once(proof="ended", accounting=True))
{drain}    lab.run().must_hold()
'''


def _argument(name: str, value: Any) -> str:
    """A keyword argument as a formatter writes it: a table that is too long for a line has a line for each entry."""
    line = f"{name}={_code(value)},"
    if not isinstance(value, Mapping) or len(line) <= WIDTH:
        return line
    entries = "".join(f"            {_code(key)}: {_code(item)},\n" for key, item in value.items())
    return f"{name}={{\n{entries}        }},"


def _code(value: Any) -> str:
    """A JSON value, or a tuple of texts, as Python code with double quotes."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_code(key)}: {_code(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_code, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_code, value)) + ("," if len(value) == 1 else "") + ")"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def guesses(found: Found, sent: Sent | None) -> list[tuple[str, Guess]]:
    """What was guessed, for a person to read."""
    told = [*_parts(found), *([("queue", found.queues)] if found.queues else [])]
    told += [(f"env {name}", guess) for name, guess in found.env.items()]
    if sent:
        told += [(name, Guess(_shown(value), sent.why.get(name, ""))) for name, value in sent.values.items()]
    return told


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
