"""The Python of the application, in pytest: the option that chooses it, and the line of the header that names it."""

from __future__ import annotations

import inspect
import json
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from brownout.pytest_options import chosen

if TYPE_CHECKING:
    from brownout.subject.application import Application

#: The project's files, the first that exists counts, each with the table that has `parts`.
FILES: Mapping[str, tuple[str, ...]] = {"brownout.toml": (), "pyproject.toml": ("tool", "brownout")}
_VERSIONS = """
import importlib.metadata as installed, json, platform
found = {"python": platform.python_version()}
for name in ("celery", "kombu", "redis", "fastapi"):
    try:
        found[name] = installed.version(name)
    except installed.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def with_python(config: pytest.Config, application: Application) -> Application:
    """The application with its Python: that of --chaos-python, else its own, else that of the project's file.

    Raises pytest.UsageError for a path that is no Python, or no Python for the probes.
    """
    python = chosen(config, "chaos_python") or application.python or _of_file(config)
    return replace(application, python=_interpreter(python)) if python else application


def python_lines(config: pytest.Config, items: Iterable[pytest.Item]) -> list[str]:
    """The header's line about the application's Python; no line when the application runs with the kit's.

    A fixture `application` that needs other fixtures, or has something to clean up, is not called before its tests.
    """
    makes = _fixtures(items)
    pythons = dict.fromkeys(filter(None, (chosen(config, "chaos_python") or _of_fixture(make) for make in makes)))
    named = list(pythons) or [_of_file(config)] * bool(makes)
    found = filter(None, map(_interpreter, filter(None, named)))
    return [f"brownout: the application runs with {versions_of(python)} ({python})" for python in found]


def _interpreter(path: str) -> str:
    from brownout.subject.environment import Unusable, interpreter

    try:
        return interpreter(path)
    except Unusable as error:
        raise pytest.UsageError(f"the application's Python: {error}") from error


def _fixtures(items: Iterable[pytest.Item]) -> list[Callable[..., Any]]:
    """The functions of the fixture `application` that tests with the fixture `lab` use, each once."""
    found: dict[Callable[..., Any], None] = {}
    for item in items:
        names = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
        if "lab" in names and "application" in names:
            found[names["application"][-1].func] = None
    return list(found)


def _of_fixture(make: Callable[..., Any]) -> str:
    if inspect.isgeneratorfunction(make) or inspect.iscoroutinefunction(make) or inspect.signature(make).parameters:
        return ""
    with suppress(Exception, pytest.UsageError, pytest.skip.Exception, pytest.fail.Exception):
        return str(getattr(make(), "python", ""))  # the fixture tells its own errors when a test uses it
    return ""


def _of_file(config: pytest.Config) -> str:
    """The Python that the project's file in the root directory names, "" when there is none."""
    place = next((path for name in FILES if (path := config.rootpath / name).exists()), None)
    if place is None:
        return ""
    try:
        table: Any = tomllib.loads(place.read_text())
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"{place}: {error}") from error
    for key in (*FILES[place.name], "parts", "python"):
        table = table.get(key, {}) if isinstance(table, dict) else {}
    return str(config.rootpath / Path(table).expanduser()) if table and isinstance(table, str) else ""


def versions_of(python: str) -> str:
    """The versions of this Python and of the libraries beside it, as text."""
    done = subprocess.run([python, "-c", _VERSIONS], capture_output=True, text=True, check=False, timeout=30)
    with suppress(ValueError):
        found: dict[str, str] = json.loads(done.stdout)
        return ", ".join(f"{name} {version}" for name, version in found.items()).replace("redis ", "redis-py ")
    return "an unknown Python"
