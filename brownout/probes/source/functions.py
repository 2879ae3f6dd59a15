"""The application's own functions as syntax trees, and the live objects that their names stand for."""

from __future__ import annotations

import ast
import inspect
import os
import sys
import sysconfig
import textwrap
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any, Iterator

from celery.local import Proxy, maybe_evaluate

#: Stands for a name whose object is unknown: a parameter, a local variable, an attribute that only a call would give.
UNKNOWN = object()
_LIBRARIES = tuple({os.path.realpath(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib", "platlib")})


def own(function: Any) -> bool:
    """Whether a function is written in the application itself, not in a library."""
    code = getattr(function, "__code__", None)
    file = os.path.realpath(code.co_filename) if code else ""
    library = file.startswith(_LIBRARIES) or "site-packages" in file or "dist-packages" in file
    return bool(code) and not library and Path(file).exists()


def plain(function: Any) -> Any:
    """The function behind decorators that kept its name, behind a method and behind `functools.partial`."""
    for _ in range(20):
        if isinstance(function, MethodType):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif type(function).__name__ == "partial":
            function = function.func
        else:
            break
    return function


class Code:
    """The syntax tree of one function. `name_of` and `place` are for messages."""

    def __init__(self, function: Any) -> None:
        self.function = function
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
        if not isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef)):
            raise TypeError(f"{function!r} is no function with a body of its own")
        self.tree, self._first = tree, first
        self._scope: dict[str, Any] = {**vars(sys.modules["builtins"]), **function.__globals__}
        closed = zip(function.__code__.co_freevars, function.__closure__ or ())
        for name, cell in closed:
            try:
                self._scope[name] = cell.cell_contents
            except ValueError:  # not assigned yet
                self._scope[name] = UNKNOWN
        local = {*function.__code__.co_varnames, *function.__code__.co_cellvars}
        self._scope.update(dict.fromkeys(local, UNKNOWN))
        self._scope.update(_imported(tree, function))

    def line(self, node: Any) -> int:
        """The line of a node in its file."""
        return self._first + int(node.lineno) - 1

    @property
    def file(self) -> str:
        """The file, as seen from the working directory where it is below it."""
        file = self.function.__code__.co_filename
        near = os.path.relpath(file)
        return str(file if near.startswith("..") else near)

    def nodes(self) -> Iterator[ast.AST]:
        """All nodes that are executed when the function is called: not the bodies of functions defined in it."""
        inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
        todo: list[ast.AST] = list(self.tree.body)
        while todo:
            node = todo.pop(0)
            if not isinstance(node, inner):
                yield node
                todo = [*ast.iter_child_nodes(node), *todo]

    def calls(self) -> Iterator[ast.Call]:
        """All calls that the function makes itself."""
        return (node for node in self.nodes() if isinstance(node, ast.Call))

    def value(self, node: Any) -> Any:
        """The live object that a name, or attributes of a name, stands for; UNKNOWN when only a run could tell."""
        if isinstance(node, ast.Name):
            return _evaluated(self._scope.get(node.id, UNKNOWN))
        if isinstance(node, ast.Attribute):
            base = self.value(node.value)
            return UNKNOWN if base is UNKNOWN else _evaluated(attribute(base, node.attr))
        return UNKNOWN

    def annotation(self, name: str) -> Any:
        """The live annotation of a parameter; UNKNOWN without one."""
        arguments = self.tree.args
        for argument in [*getattr(arguments, "posonlyargs", []), *arguments.args, *arguments.kwonlyargs]:
            if argument.arg == name and argument.annotation is not None:
                written = argument.annotation
                if isinstance(written, ast.Constant) and isinstance(written.value, str):
                    written = ast.parse(written.value, mode="eval").body
                return self.value(written)
        return UNKNOWN


def attribute(base: Any, name: str) -> Any:
    """An attribute that is stored, not computed: no property and no `__getattr__` of the application runs."""
    if isinstance(base, ModuleType):
        return vars(base).get(name, UNKNOWN)
    fields = getattr(base, "__dict__", None)
    if isinstance(fields, dict) and name in fields:
        return fields[name]
    for kind in base.__mro__ if isinstance(base, type) else type(base).__mro__:
        found = vars(kind).get(name, UNKNOWN)
        if isinstance(found, (staticmethod, classmethod)):
            return found.__func__
        if found is not UNKNOWN:  # a property is itself then, and nothing that anybody looks for
            return found
    return UNKNOWN


def _evaluated(value: Any) -> Any:
    """The object behind a proxy of Celery: `@app.task` gives a promise of a task, `current_app` stands for one."""
    if Proxy not in type(value).__mro__:
        return value
    try:
        value = maybe_evaluate(value)
        return value._get_current_object() if Proxy in type(value).__mro__ else value
    except Exception:  # no application, or no task, is there now
        return UNKNOWN


def _imported(tree: Any, function: Any) -> dict[str, Any]:
    """What a function imports in its body, from modules that are already loaded."""
    found: dict[str, Any] = {}
    package = function.__globals__.get("__package__") or ""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for name in node.names:
                loaded = vars(sys.modules[module]).get(name.name, UNKNOWN) if module in sys.modules else UNKNOWN
                found[name.asname or name.name] = loaded
        elif isinstance(node, ast.Import):
            for name in node.names:
                top = name.name if name.asname else name.name.partition(".")[0]
                found[name.asname or top] = sys.modules.get(top, UNKNOWN)
    return found


def reachable(function: Any) -> Iterator[Code]:
    """The function and the application's functions that it calls by name, and so on.

    A function that is handed to a thread, or to somebody else, is named and not called, and is left out.
    """
    todo: list[Any] = [plain(function)]
    seen: set[Any] = set()
    while todo:
        found = todo.pop(0)
        if not own(found) or found.__code__ in seen:
            continue
        seen.add(found.__code__)
        code = code_of(found)
        if code is not None:
            yield code
            called = (plain(code.value(call.func)) for call in code.calls())
            todo += [target for target in called if isinstance(target, FunctionType)]


def code_of(function: Any) -> Code | None:
    """The syntax tree of a function; None without a source, for a lambda, and for what `exec` made."""
    try:
        return Code(function)
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
