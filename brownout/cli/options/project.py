"""The project's file: `brownout.toml`, or `[tool.brownout]` of `pyproject.toml`, gives options that were not typed."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from brownout.cli.parser import Usage
from brownout.plan.near import UnknownName, known

FILE: Final = "brownout.toml"
PYPROJECT: Final = "pyproject.toml"
NONE: Final = "none"
#: Options of a workload, by their names in the file, with the fields that they fill. The others belong to the parts.
WORKLOAD: Final = {
    **{"task": "task", "args": "args", "kwargs": "kwargs", "post": "post", "put": "put", "json": "body"},
    **{"form": "form", "header": "header", "status": "status"},
}
_MARKS: Final = {"env": "=", "form": "=", "header": ":"}  # tables whose entries are NAME=VALUE or NAME:VALUE
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    **{"args": (list,), "kwargs": (dict,), "json": (dict, list), "warm-up": (int, float)},
    **dict.fromkeys(_MARKS, (dict,)),
}


@dataclass(frozen=True)
class Project:
    """What a project's file says. `parts` and each of `workloads` have values by option, `baseline` is a file."""

    file: str
    parts: Mapping[str, Any] = field(default_factory=dict)
    workloads: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    baseline: str | None = None


def read(name: str | None, parts: Collection[str]) -> Project | None:
    """The project's file in this folder, or the one of this name; None where there is none, or for "none".

    `parts` are the options that the table `parts` may have. Raises Usage for a file that cannot be read and for values
    of the wrong kind, UnknownName with near matches for unknown keys.
    """
    if name == NONE:
        return None
    path = Path(name) if name else next((path for path in map(Path, (FILE, PYPROJECT)) if path.exists()), None)
    if path is None:
        return None
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Usage(f"{path}: {error}") from error
    if path.name == PYPROJECT:
        content = content.get("tool", {}).get("brownout")
        if content is None:
            return None
    try:
        return _project(str(path), content, parts)
    except UnknownName as error:
        raise UnknownName(f"{path}: {error}") from error


def _project(file: str, content: Any, parts: Collection[str]) -> Project:
    whole = _table(file, "the file", content, ("parts", "workloads", "promises"))
    workloads = {
        name: _values(file, f"workloads.{name}", table, WORKLOAD)
        for name, table in _table(file, "workloads", whole.get("workloads", {}), None).items()
    }
    promises = _table(file, "promises", whole.get("promises", {}), ("baseline",))
    baseline = promises.get("baseline")
    if not isinstance(baseline, str | None):
        raise Usage(f"{file}: promises.baseline is the name of a file, not {baseline!r}")
    return Project(file, _values(file, "parts", whole.get("parts", {}), parts), workloads, baseline)


def _table(file: str, where: str, value: Any, keys: Collection[str] | None) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Usage(f"{file}: {where} is a table, not {value!r}")
    if keys is not None:
        for key in value:
            known(f"key of {where}", key, keys)
    return value


def _values(file: str, where: str, value: Any, keys: Collection[str]) -> dict[str, Any]:
    """The values of a table as options have them: texts, lists of texts, and JSON for args, kwargs and json."""
    found: dict[str, Any] = {}
    given: Any
    for key, given in _table(file, where, value, keys).items():
        wanted: tuple[type, ...] = _KINDS.get(key, (str, list))
        if not isinstance(given, wanted) or isinstance(given, bool):
            kinds = " or ".join(
                {"str": "text", "dict": "table", "int": "number"}.get(k.__name__, k.__name__) for k in wanted
            )
            raise Usage(f"{file}: {where}.{key} is a {kinds}, not {given!r}")
        if isinstance(given, dict) and key in _MARKS:
            given = [f"{name}{_MARKS[key]}{item}" for name, item in given.items()]
        elif wanted == (str, list) and isinstance(given, list):
            given = [str(item) for item in given]
        found[key] = given
    return found


def fill(kind: Any, values: Mapping[str, Any], typed: Collection[str], parts_of: Any = None) -> dict[str, Any]:
    """The options of a command, with those of the project's file for what was not typed.

    `parts_of` is the class whose PARTS the file may have, by default `kind`; an option that `kind` lacks is left out.
    Raises what `read` raises, and Usage when it is not said which of several workloads is meant.
    """
    flags = {one.name: str(one.metadata.get("flag", "")) for one in fields(kind)}
    every = {one.name: str(one.metadata.get("flag", "")) for one in fields(parts_of or kind)}
    parts = {every[name][2:]: name for name in (parts_of or kind).PARTS if name in every}
    filled = dict(values)
    if filled.get("experiment"):
        return filled
    project = read(filled.get("project"), parts)
    if project is None:
        return filled

    def give(name: str, flag: str, value: Any) -> None:
        many = isinstance(values.get(name), list)
        value = [value] if many and isinstance(value, str) else value
        if flag not in typed or (name == "body" and values[name] is None):  # --json was typed for the result
            filled[name] = value
        elif name == "env":  # what was typed comes later, and wins name by name
            filled[name] = [*value, *values[name]]

    other = {"app": "--worker", "worker": "--app"}  # what was typed names the application already
    for option, value in project.parts.items():
        if parts[option] in flags and other.get(option) not in typed:
            give(parts[option], f"--{option}", value)
    if project.baseline and "baseline" in flags:
        give("baseline", "--baseline", project.baseline)
    workload = _workload(project, values.get("workload"), typed) if "workload" in flags else None
    if workload is not None:
        filled |= {"workload": None, "label": workload}
        for option, value in project.workloads[workload].items():
            give(WORKLOAD[option], f"--{option}", value)
    return filled


def _workload(project: Project, name: str | None, typed: Collection[str]) -> str | None:
    """The workload of the file that is meant; None when it is another one, or was typed."""
    if name in project.workloads:
        return name
    if name is not None or {"--task", "--post", "--put"} & set(typed) or not project.workloads:
        return None
    if len(project.workloads) > 1:
        names = ", ".join(project.workloads)
        raise Usage(f"{project.file} has several workloads; which one? --workload {names}")
    return next(iter(project.workloads))
