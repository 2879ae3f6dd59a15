"""Finds what an application's functions do with its tasks: publish them, run them in place, read results, hand work
away."""

from __future__ import annotations

import ast
from typing import Any, Iterator

from celery import Celery, Signature, Task
from celery.exceptions import Ignore, Reject
from celery.result import AsyncResult

from brownout.probes.source.functions import UNKNOWN, Code, reachable
from brownout.probes.source.numbers import number

PUBLISHING = {"delay", "apply_async", "send_task"}
_WHEN = {"countdown", "eta", None}  # The key None stands for the arguments in `**options`.
_MADE = {"s", "si", "signature", "subtask", "set", "clone"}  # The signature `task.s(1)` stands for its task.


def calls(function: Any, *, thread: bool = False) -> list[dict[str, Any]]:
    """Return the calls that concern tasks, as JSON, of a function and of the functions that it calls; `thread` says
    whether a thread runs the function."""
    return [fact for code in reachable(function) for call in code.calls() for fact in _facts(code, call, thread)]


def _facts(code: Code, call: ast.Call, thread: bool) -> Iterator[dict[str, Any]]:
    place = {"file": code.file, "line": code.line(call), "on_loop": not thread}
    function = call.func
    value = code.value(function)
    if isinstance(value, Task):
        yield {"kind": "run", "task": value.name, **place}
    elif isinstance(value, type) and issubclass(value, AsyncResult):
        yield {"kind": "result", "task": "", **place}
    elif isinstance(function, ast.Call) and _task(code, function) is Signature:  # chord(...)(body)
        yield {"kind": "publish", "task": "", **place, "countdown": None, "ignored": False}
    if not isinstance(function, ast.Attribute):
        return
    target = _task(code, function.value)
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    countdown = number(code, given["countdown"]) if "countdown" in given else None
    if function.attr == "add_task" and _is_background(code, function.value):
        yield {"kind": "background", "task": "", **place}
    elif function.attr == "AsyncResult" and target is not None:  # of a task, or of the Celery application
        yield {"kind": "result", "task": target.name if isinstance(target, Task) else "", **place}
    elif function.attr == "retry" and _is_bound(code, function.value):
        yield {"kind": "retry", "task": "", **place, "countdown": countdown, "by_default": not {*given} & _WHEN}
    elif function.attr in PUBLISHING and target is not None:
        named = isinstance(target, Celery) and call.args and isinstance(call.args[0], ast.Constant)
        name = call.args[0].value if named else getattr(target, "name", "")  # type: ignore[attr-defined]
        ignored = given.get("ignore_result")
        yield {
            **{"kind": "publish", "task": name if isinstance(name, str) else "", **place},
            "countdown": countdown,
            # The key None stands for `**options`, and the value None for a value that is known only at run time.
            "ignored": None if None in given else bool(getattr(ignored, "value", ignored)),
        }


def _task(code: Code, node: Any) -> Any | None:
    """Return the task or the Celery application that an expression stands for, also through `task.s(...)`, else
    None."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _MADE:
        node = node.func.value
    if isinstance(node, ast.Call):  # the expression is a canvas: chain(...), group(...) or chord(...)
        kind = code.value(node.func)
        return Signature if isinstance(kind, type) and issubclass(kind, Signature) else None
    value = code.value(node)
    return value if isinstance(value, (Task, Celery)) else None


def _is_bound(code: Code, node: Any) -> bool:
    """Whether an expression is the task itself: the function's first parameter, or a parameter with the name `self` or
    `task`."""
    first = [argument.arg for argument in code.tree.args.args[:1]]
    return isinstance(node, ast.Name) and node.id in ("self", "task", *first) and code.value(node) is UNKNOWN


def _is_background(code: Code, node: Any) -> bool:
    """Whether an expression is a parameter that is annotated as BackgroundTasks."""
    kind = code.annotation(node.id) if isinstance(node, ast.Name) else UNKNOWN
    return isinstance(kind, type) and any(base.__name__ == "BackgroundTasks" for base in kind.__mro__)


def refuses(function: Any) -> bool:
    """Whether a task can end a message that was delivered too often: its code raises Ignore or Reject, or reads
    `redelivered`."""
    for code in reachable(function):
        for node in code.nodes():
            if isinstance(node, ast.Raise) and node.exc is not None:
                raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
                kind = code.value(raised)
                if isinstance(kind, type) and issubclass(kind, (Ignore, Reject)):
                    return True
            if isinstance(node, ast.Attribute) and node.attr in ("delivery_info", "reject"):
                return True
    return False
