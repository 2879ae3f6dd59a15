"""Looks at a project's files: its Celery application, its API, its variables, and the commands that it documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from brownout.project import variables

SKIPPED = {"node_modules", "site-packages", "__pycache__", "tests", "test", "docs", "build", "dist", "migrations"}
DOCUMENTS = (
    *("*compose*.y*ml", "Procfile*", "*.md", "*.rst", "Makefile", "justfile"),
    *("*.sh", "Dockerfile*", ".env*", "*.toml"),
)
LARGEST = 200_000  # bytes of a file that is read
FILES = 2_000  # Python files that are read
_FOLDER = r"(?:cd\s+([\w./-]+)\s*&&[^\n]*?)?"
_CELERY = re.compile(_FOLDER + r"\bcelery\s+(?:-A|--app)[\s=]+([\w.:]+)(?=\s)[^\n]*?\sworker\b([^\n]*)")
_QUEUES = re.compile(r"(?:-Q|--queues)[\s=]+([\w,.-]+)")
_API = re.compile(_FOLDER + r"\b(?:uvicorn|gunicorn)\s([^\n]*?)\b([A-Za-z_][\w.]*:[A-Za-z_]\w*(?:\(\))?)([^\n]*)")


@dataclass(frozen=True)
class Guess:
    """A value for the project's file, and the reason why this value was taken."""

    value: str
    why: str


@dataclass
class Found:
    """What the files tell.

    `env` has the variables that hold a URL of Redis or of an SQLite file, with {broker}, {backend} or {files} in the
    value. `folders` has the folder of the role "worker" or "api", where its command is typed in a folder of its own.
    `env_file` says whether one of these folders has a `.env`.
    """

    celery: Guess | None = None
    api: Guess | None = None
    queues: Guess | None = None
    ready: Guess | None = None  # a path; it cannot be found from the files alone
    env: dict[str, Guess] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    env_file: bool = False
    others: list[str] = field(default_factory=list)  # what else could have been meant


def look(root: Path) -> Found:
    """Look at the project in this folder. A command in the project's documentation counts more than a value that the
    code only suggests."""
    found = Found()
    for file in _documents(root):
        _documented(found, root, file.relative_to(root), file.read_text(errors="replace"))
    for file in _sources(root):
        _source(found, file.relative_to(root), file.read_text(errors="replace"))
    found.env_file = any((root / folder / ".env").is_file() for folder in (".", *found.folders.values()))
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


def _documented(found: Found, root: Path, file: Path, text: str) -> None:
    if command := _CELERY.search(text):
        folder, name, options = command.groups()
        if found.celery is None and (place := _folder(root, folder, name)):
            found.folders |= {"worker": place} if place != "." else {}
        found.celery = found.celery or Guess(name, f"{file} has the command: celery -A {name} worker")
        if queues := _QUEUES.search(options):
            found.queues = found.queues or Guess(queues[1], f"the command in {file} has -Q {queues[1]}")
    if command := _API.search(text):
        folder, before, name, after = command.groups()
        name += "()" if "--factory" in before + after and not name.endswith("()") else ""
        if found.api is None and (place := _folder(root, folder, name)):
            found.folders |= {"api": place} if place != "." else {}
        found.api = found.api or Guess(name, f"{file} has the command: uvicorn {command[3]}")
    for name, value in variables.assigned(text):
        what = "a Redis URL" if "{files}" not in value else "an SQLite file"
        found.env.setdefault(name, Guess(value, f"{file} gives it {what}"))


def _folder(root: Path, typed: str | None, name: str) -> str:
    """The folder in which a command is typed: as it says, else the only one that has the module; "." for the root."""
    if typed and not typed.startswith(("/", "..")) and (root / typed).is_dir():
        return typed.rstrip("/")
    module = name.partition(":")[0].partition(".")[0]
    if any((root / place).exists() for place in (module, f"{module}.py", f"src/{module}")):
        return "."
    places = [*root.glob(f"*/{module}.py"), *root.glob(f"*/{module}/__init__.py")]
    found = {path.relative_to(root).parts[0] for path in places}
    return found.pop() if len(found) == 1 else "."


def _source(found: Found, file: Path, text: str) -> None:
    for name, value in variables.read(text):
        found.env.setdefault(name, Guess(value, f"{file} reads it"))
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for name, value in variables.fields(tree):
        found.env.setdefault(name, Guess(value, f"a field of the settings in {file}"))
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
    elif not _same(taken.value, value, found.folders.get({"celery": "worker"}.get(what, what), "")):
        found.others.append(f"{what}: {value} ({why})")


def _same(taken: str, value: str, folder: str) -> bool:
    """Whether both names lead to one module, or to the package around it."""
    dotted, own = (name.removesuffix("()").replace(":", ".") for name in (taken, value))
    inside = f"{own}.".startswith(f"{folder.replace('/', '.')}.{dotted}.".lstrip("."))
    return inside or taken.partition(":")[0] in (value.partition(":")[0], value.rpartition(".")[0])


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
