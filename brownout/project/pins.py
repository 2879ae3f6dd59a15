"""Versions that a project pins, compared with those that are installed beside brownout.

pip replaces what brownout's requirements do not allow. A project finds out here, before its fault map is another one.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

SHOWN = 3  # packages that one line names
#: Lock files with `[[package]]` tables of `name` and `version`.
LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")
Installed = Callable[[str], str | None]


def installed(package: str) -> str | None:
    """The version of the package in this environment, None when it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def own_requirements() -> frozenset[str]:
    """The packages that brownout itself requires, extras left out."""
    found = (Requirement(text) for text in requires("brownout") or ())
    return frozenset(canonicalize_name(one.name) for one in found if one.marker is None or one.marker.evaluate())


def changed(project: Path, packages: Iterable[str] | None = None, has: Installed = installed) -> str:
    """One line about packages that brownout requires and whose installed version is not the pinned one; "" for none.

    `packages` are those that are compared, by default those that brownout requires.
    """
    mine = own_requirements() if packages is None else frozenset(map(canonicalize_name, packages))
    wrong = [
        f"{name} {there} ({file} pins {pin})"
        for name, (pin, file) in sorted(pins(project).items())
        if name in mine and (there := has(name)) and not _same(there, pin)
    ]
    if not wrong:
        return ""
    more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    return (
        f"installed beside brownout, and not as the project pins it: {', '.join(wrong[:SHOWN])}{more}; "
        "install brownout in an environment of its own, and give --python"
    )


def pins(project: Path) -> Mapping[str, tuple[str, str]]:
    """The version that the project's files pin for each package, and the file; what a person wrote wins over a lock."""
    found: dict[str, tuple[str, str]] = {}
    for name, pin, file in (*_written(project), *_locked(project)):
        found.setdefault(canonicalize_name(name), (pin, file))
    return found


def _written(project: Path) -> Iterator[tuple[str, str, str]]:
    for path in sorted(project.glob("requirements*.txt")):
        lines = path.read_text(errors="replace").splitlines()
        yield from _exact((re.sub(r"\s+(#|--hash|\\).*", "", line) for line in lines), path.name)
    project_table = _toml(project / "pyproject.toml").get("project", {})
    if isinstance(project_table, dict):
        yield from _exact(map(str, project_table.get("dependencies") or ()), "pyproject.toml")


def _exact(texts: Iterable[str], file: str) -> Iterator[tuple[str, str, str]]:
    """The requirements among these lines that allow one version only."""
    for text in texts:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:  # an option, a comment, another file, a path
            continue
        specifiers = list(wanted.specifier)
        applies = wanted.marker is None or wanted.marker.evaluate()
        if applies and len(specifiers) == 1 and specifiers[0].operator in ("==", "==="):
            yield wanted.name, specifiers[0].version, file


def _locked(project: Path) -> Iterator[tuple[str, str, str]]:
    for lock in LOCKS:
        for package in _toml(project / lock).get("package") or ():
            if isinstance(package, dict) and {"name", "version"} <= package.keys():
                yield str(package["name"]), str(package["version"]), lock
    try:
        locked = json.loads((project / "Pipfile.lock").read_text()).get("default", {})
    except (OSError, ValueError, AttributeError):
        return
    for name, entry in locked.items():
        if isinstance(entry, dict) and str(entry.get("version", "")).startswith("=="):
            yield name, entry["version"][2:], "Pipfile.lock"


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _same(there: str, pin: str) -> bool:
    """Whether the version is the pinned one; a pin such as `4.5.*` allows several."""
    if pin.endswith(".*"):
        return f"{there}.".startswith(pin[:-1])
    try:
        return Version(there) == Version(pin)
    except InvalidVersion:
        return there == pin
