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

#: Stands for a name whose object is known only at run time: a parameter, a local variable, or an attribute that a call
#: sets.
UNKNOWN = object()
_LIBRARIES = tuple({os.path.realpath(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib", "platlib")})


def own(function: Any) -> bool:
    """Whether a function is written in the application itself, not in a library."""
    code = getattr(function, "__code__", None)
    file = os.path.realpath(code.co_filename) if code else ""
    library = file.startswith(_LIBRARIES) or "site-packages" in file or "dist-packages" in file
    return bool(code) and not library and Path(file).exists()


def plain(function: Any) -> Any:
    """Return the function that is inside decorators that kept its name, inside a method, or inside
    `functools.partial`."""
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
    """The syntax tree of one function. The members `line` and `file` are for messages."""

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
            except ValueError:  # the variable of the outer function is not assigned yet
                self._scope[name] = UNKNOWN
        local = {*function.__code__.co_varnames, *function.__code__.co_cellvars}
        self._scope.update(dict.fromkeys(local, UNKNOWN))
        self._scope.update(_imported(tree, function))

    def line(self, node: Any) -> int:
        """Return the number of a node's line in its file."""
        return self._first + int(node.lineno) - 1

    @property
    def file(self) -> str:
        """The path of the function's file, relative to the working directory if the file is inside it."""
        file = self.function.__code__.co_filename
        near = os.path.relpath(file)
        return str(file if near.startswith("..") else near)

    def nodes(self) -> Iterator[ast.AST]:
        """Yield all nodes that are executed when the function is called, without the bodies of functions that are
        defined in it."""
        inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
        todo: list[ast.AST] = list(self.tree.body)
        while todo:
            node = todo.pop(0)
            if not isinstance(node, inner):
                yield node
                todo = [*ast.iter_child_nodes(node), *todo]

    def calls(self) -> Iterator[ast.Call]:
        """Yield all calls in the function's own code."""
        return (node for node in self.nodes() if isinstance(node, ast.Call))

    def value(self, node: Any) -> Any:
        """Return the live object that a name, or a name with attributes, stands for, or UNKNOWN when the object is
        known only at run time."""
        if isinstance(node, ast.Name):
            return _evaluated(self._scope.get(node.id, UNKNOWN))
        if isinstance(node, ast.Attribute):
            base = self.value(node.value)
            return UNKNOWN if base is UNKNOWN else _evaluated(attribute(base, node.attr))
        return UNKNOWN

    def keys(self) -> list[str]:
        """The keys that the function reads from its parameters, as `payload["kind"]` does."""
        arguments = self.tree.args
        given = {argument.arg for argument in [*arguments.args, *arguments.kwonlyargs]}
        found: list[Any] = []
        for node in self.nodes():
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in given:
                key = getattr(node.slice, "value", None)
                found.append(getattr(key, "value", key))  # Python 3.8 has an Index around the constant
        return list(dict.fromkeys(key for key in found if isinstance(key, str)))

    def annotation(self, name: str) -> Any:
        """Return the live annotation of a parameter, or UNKNOWN when the parameter has no annotation."""
        arguments = self.tree.args
        for argument in [*getattr(arguments, "posonlyargs", []), *arguments.args, *arguments.kwonlyargs]:
            if argument.arg == name and argument.annotation is not None:
                written = argument.annotation
                if isinstance(written, ast.Constant) and isinstance(written.value, str):
                    written = ast.parse(written.value, mode="eval").body
                return self.value(written)
        return UNKNOWN


def attribute(base: Any, name: str) -> Any:
    """Return an attribute that is stored and not computed: no property and no `__getattr__` of the application runs."""
    if isinstance(base, ModuleType):
        return vars(base).get(name, UNKNOWN)
    fields = getattr(base, "__dict__", None)
    if isinstance(fields, dict) and name in fields:
        return fields[name]
    for kind in base.__mro__ if isinstance(base, type) else type(base).__mro__:
        found = vars(kind).get(name, UNKNOWN)
        if isinstance(found, (staticmethod, classmethod)):
            return found.__func__
        if found is not UNKNOWN:  # a property counts as itself; no caller looks for a property object
            return found
    return UNKNOWN


def _evaluated(value: Any) -> Any:
    """Return the object behind a proxy of Celery; for example `@app.task` makes a proxy of a task, and `current_app` is
    a proxy of an application."""
    if Proxy not in type(value).__mro__:
        return value
    try:
        value = maybe_evaluate(value)
        return value._get_current_object() if Proxy in type(value).__mro__ else value
    except Exception:  # this error means that the proxy stands for no application or task now
        return UNKNOWN


def _imported(tree: Any, function: Any) -> dict[str, Any]:
    """Return the objects that a function imports in its body, from modules that are already loaded."""
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
    """Yield the function, the application's functions that it calls by name, the functions that these call, and so on.

    A function that is only named and not called is left out, for example a function that is passed to a thread.
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
    """Return the syntax tree of a function, or None for a function without source, for a lambda, and for code that
    `exec` has made."""
    try:
        return Code(function)
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
