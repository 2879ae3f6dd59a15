"""The environment of an application's processes: its own variables, its `.env`, and the probes on its Python's path."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from brownout.subject.processes import custody

if TYPE_CHECKING:
    from brownout.subject.application import Application

KIT = Path(__file__).parents[1]
OLDEST = (3, 8)  # The oldest version of Python that the probes can run with.
#: The files of brownout that a Python of another environment can import: the probes, and the stock application.
CARRIED = ("probes/**/*.py", "explore/stock.py")
_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$")


class Unusable(ValueError):
    """No trial can use the application as it is. The message of this error is one line with the cause and the next
    step."""


def filled(env: Mapping[str, str], places: Mapping[str, str]) -> dict[str, str]:
    """Return `env` with each `{name}` of `places` replaced by its value; other braces, such as braces of JSON, stay."""
    if not places:
        return dict(env)
    known = re.compile("|".join(re.escape(f"{{{name}}}") for name in places))
    return {name: known.sub(lambda match: places[match[0][1:-1]], value) for name, value in env.items()}


def environment_of(
    application: Application, role: str, root: Path, more: Mapping[str, str], **places: object
) -> dict[str, str]:
    """Return the variables that a process of the role ("worker", "api", "relay", "beat") gets in addition to the
    environment of brownout's process.

    When several sources have the same variable, a later source wins: first the file `env_file`, then `more`, then the
    application's `env`, then `part_env` of the role. A variable in the environment of brownout's process wins over the
    file `env_file`, as with `load_dotenv`.
    """
    file = folder_of(application, role, root) / application.env_file
    told = read_env_file(file) if application.env_file and file.is_file() else {}
    unset = {name: value for name, value in told.items() if name not in os.environ}
    own = {**application.env, **application.part_env.get(role, {})}
    filled_own = filled(own, {name: str(place) for name, place in places.items()})
    return on_path(application.python, {**unset, **more, **filled_own})


def folder_of(application: Application, role: str, root: Path) -> Path:
    """Return the working directory of the processes of this role."""
    return root / application.folders.get(role, ".")


def read_env_file(file: Path) -> dict[str, str]:
    """Return the variables of an env file, which has lines NAME=VALUE, with or without `export`, quotes and
    comments."""
    found = {}
    for line in file.read_text(errors="replace").splitlines():
        if match := _LINE.match(line):
            name, value = match.groups()
            if value[:1] in ("'", '"') and (end := value.find(value[0], 1)) > 0:
                found[name] = value[1:end]
            else:
                found[name] = re.sub(r"(^|\s+)#.*", "", value)
    return found


# --- a Python of another environment than brownout's own


def is_own(python: str) -> bool:
    """Whether `python` is the Python that runs brownout itself. Symbolic links are not followed, because a link to the
    same program can belong to another environment."""
    return not python or Path(python).absolute() == Path(sys.executable).absolute()


def on_path(python: str, env: Mapping[str, str]) -> dict[str, str]:
    """Return `env` with what a Python of another environment needs: the probes on its path, and the environment's
    scripts on PATH.

    Nothing else of brownout is on this path: neither the packages that are installed beside brownout, nor the folder
    that contains brownout.
    """
    if is_own(python):
        return dict(env)
    scripts = Path(python).absolute().parent
    path = env.get("PYTHONPATH", os.environ.get("PYTHONPATH", "")).split(os.pathsep)
    kept = [place for place in path if place and Path(place).resolve() != KIT.parent.resolve()]
    own = {
        "PYTHONPATH": os.pathsep.join([str(probes_folder()), *kept]),
        "PATH": f"{scripts}{os.pathsep}{env.get('PATH', os.environ.get('PATH', os.defpath))}",
    }
    if (scripts.parent / "pyvenv.cfg").is_file():
        own["VIRTUAL_ENV"] = str(scripts.parent)
    return {**env, **own}


def interpreter(path: str) -> str:
    """Return the Python of an environment's folder, or `path` itself if it is a Python, as an absolute path; "" for the
    Python that runs brownout.

    Raises Unusable for a path that is no Python, and for a Python that is too old for the probes.
    """
    found = Path(path).expanduser().absolute()
    python = str(found / "bin" / "python" if found.is_dir() else found)
    command = [python, "-c", "import sys; print(*sys.version_info[:2])"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
        version = tuple(map(int, said.split()))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise Unusable(f"{path} is no Python: {error}") from error
    if version < OLDEST:
        old = ".".join(map(str, version))
        raise Unusable(f"{path} is Python {old}; the probes need Python 3.8 or newer in the application's environment")
    return "" if is_own(python) else python


@cache
def probes_folder() -> Path:
    """Return a temporary folder that has the probes as the package `brownout`, and nothing else. The temporary folder
    is removed when this process ends."""
    folder = custody.make_directory("brownout-probes-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for file in (file for pattern in CARRIED for file in KIT.glob(pattern)):
        place = folder / "brownout" / file.relative_to(KIT)
        place.parent.mkdir(parents=True, exist_ok=True)
        for package in (place.parent, folder / "brownout"):
            (package / "__init__.py").touch()
        if file.name != "__init__.py":
            shutil.copy(file, place)
    return folder


def project_of(file: Path, top: Path) -> Path:
    """The folder of the project that a file belongs to: the nearest one with a brownout.toml, not above `top`."""
    above = file.parents[: file.parents.index(top)] if top in file.parents else ()
    return next((folder for folder in above if (folder / "brownout.toml").is_file()), top)


def python_of(project: Path) -> str:
    """Return the Python of the environment that belongs to the project; "" for the Python that runs brownout.

    The environment is `.venv` in the project, else the one that VIRTUAL_ENV names, if Celery is installed in it.
    """
    for place in (project / ".venv", Path(os.environ.get("VIRTUAL_ENV") or project / ".venv")):
        python = place / "bin" / "python"
        if python.exists() and any(place.glob("lib*/python*/site-packages/celery")):
            return "" if place.resolve() == Path(sys.prefix).resolve() else str(python.absolute())
    return ""
