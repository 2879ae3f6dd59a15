"""Looks at a project's files: its Celery application, its API, its variables, and the commands that it documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SKIPPED = {"node_modules", "site-packages", "__pycache__", "tests", "test", "docs", "build", "dist", "migrations"}
DOCUMENTS = (
    *("*compose*.y*ml", "Procfile*", "*.md", "*.rst", "Makefile", "justfile"),
    *("*.sh", "Dockerfile*", ".env*", "*.toml"),
)
LARGEST = 200_000  # The largest number of bytes that are read of a file.
FILES = 2_000  # The largest number of Python files that are read.
_CELERY = re.compile(r"celery\s+(?:-A|--app)[\s=]+([\w.:]+)(?=\s)[^\n]*?\sworker\b([^\n]*)")
_QUEUES = re.compile(r"(?:-Q|--queues)[\s=]+([\w,.-]+)")
_API = re.compile(r"(?:uvicorn|gunicorn)\s[^\n]*?\b([A-Za-z_][\w.]*:[A-Za-z_]\w*(?:\(\))?)")
_VARIABLE = re.compile(r"""(?:environ(?:\.get)?[\[(]|getenv\()\s*["'](\w*(?:BROKER|REDIS|RESULT|BACKEND)\w*)["']""")
_ASSIGNED = re.compile(
    r"""^\s*(?:-\s*|export\s+)?(\w*(?:BROKER|REDIS|RESULT|BACKEND)\w*)\s*[:=]\s*["']?rediss?://""", re.MULTILINE
)


@dataclass(frozen=True)
class Guess:
    """A value for the project's file, and the reason why this value was taken."""

    value: str
    why: str


@dataclass
class Found:
    """The facts about a project that its files tell. `env` has the variables that hold a URL of Redis, with {broker} or
    {backend} as value."""

    celery: Guess | None = None
    api: Guess | None = None
    queues: Guess | None = None
    ready: Guess | None = None  # a path; it cannot be found from the files alone
    env: dict[str, Guess] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)  # other values that the files could also mean


def look(root: Path) -> Found:
    """Look at the project in this folder. A command in the project's documentation counts more than a value that the
    code only suggests."""
    found = Found()
    for file in _documents(root):
        _documented(found, file.relative_to(root), file.read_text(errors="replace"))
    for file in _sources(root):
        _source(found, file.relative_to(root), file.read_text(errors="replace"))
    return found


def _documents(root: Path) -> Iterator[Path]:
    for pattern in DOCUMENTS:
        for file in sorted(root.glob(pattern)):
            if file.is_file() and file.stat().st_size < LARGEST and file.name != "brownout.toml":
                yield file


def _sources(root: Path) -> Iterator[Path]:
    folders, count = [root], 0
    while folders and count < FILES:
        folder = folders.pop(0)
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                own = not path.name.startswith(".") and path.name not in SKIPPED
                folders += [path] if own and not (path / "pyvenv.cfg").exists() else []
            elif path.suffix == ".py" and path.stat().st_size < LARGEST and not path.name.startswith("test_"):
                count += 1
                yield path


def _documented(found: Found, file: Path, text: str) -> None:
    if command := _CELERY.search(text):
        found.celery = found.celery or Guess(command[1], f"{file} has the command: celery -A {command[1]} worker")
        if queues := _QUEUES.search(command[2]):
            found.queues = found.queues or Guess(queues[1], f"the command in {file} has -Q {queues[1]}")
    if command := _API.search(text):
        found.api = found.api or Guess(command[1], f"{file} has the command: uvicorn {command[1]}")
    for name in _ASSIGNED.findall(text):
        _variable(found, name, f"{file} gives it a Redis URL")


def _variable(found: Found, name: str, why: str) -> None:
    place = "{backend}" if re.search("RESULT|BACKEND", name) else "{broker}"
    found.env.setdefault(name, Guess(place, why))


def _source(found: Found, file: Path, text: str) -> None:
    for name in _VARIABLE.findall(text):
        _variable(found, name, f"{file} reads it")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    module = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
    for name in _made(tree, "Celery"):
        _take(found, "celery", f"{module}:{name}", f"{file} has {name} = Celery(...)")
    apis = [*_made(tree, "FastAPI"), *(f"{name}()" for name in _factories(tree, "FastAPI"))]
    for name in apis:
        _take(found, "api", f"{module}:{name}", f"{file} makes a FastAPI application there")


def _take(found: Found, what: str, value: str, why: str) -> None:
    taken: Guess | None = getattr(found, what)
    if taken is None:
        setattr(found, what, Guess(value, why))
    elif taken.value.split(":")[0] not in (value.split(":")[0], value.rpartition(".")[0]):
        found.others.append(f"{what}: {value} ({why})")


def _made(tree: ast.Module, kind: str) -> Iterator[str]:
    """Return the names at the top level of a module to which the result of a call of `kind` is assigned."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and _calls(node.value, kind):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def _factories(tree: ast.Module, kind: str) -> Iterator[str]:
    """Return the functions of a module that call `kind` and can be called without arguments."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and any(_calls(inner, kind) for inner in ast.walk(node)):
            arguments = node.args
            if len(arguments.args) == len(arguments.defaults) and not arguments.posonlyargs:
                yield node.name


def _calls(node: ast.AST | None, kind: str) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name == kind
