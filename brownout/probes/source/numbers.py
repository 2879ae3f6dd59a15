"""The number that an expression of the application stands for, found without running the application's code."""

from __future__ import annotations

import ast
import operator
import os
from types import FunctionType
from typing import Any

from brownout.probes.source.functions import UNKNOWN, Code, code_of, own, plain

DEPTH = 8
_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
_PURE = {int, float, round, abs, min, max}


def number(code: Code, node: Any) -> float | None:
    """Return the value of a numeric expression, or None when the value is known only at run time.

    The value is found for constants, names and stored attributes, arithmetic, `int`, `float`, `min`, `max`, `round` and
    `abs`, `os.environ.get` and `os.getenv`, and calls of the application's functions without arguments that only return
    such a value.
    """
    try:
        value = _value(code, node, DEPTH)
        return None if isinstance(value, bool) else float(value)
    except (ValueError, TypeError, ArithmeticError, KeyError):
        return None


def _value(code: Code, node: Any, depth: int) -> Any:
    if not depth:
        raise ValueError(node)
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(code, node.left, depth - 1), _value(code, node.right, depth - 1)
        if isinstance(node.op, ast.Pow) and abs(right) > 64:
            raise ValueError(right)
        return _OPERATORS[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(code, node.operand, depth - 1)
    if isinstance(node, ast.Call) and not node.keywords:
        return _called(code, node, depth)
    value = code.value(node)
    if value is UNKNOWN or not isinstance(value, (int, float, str)):
        raise ValueError(node)
    return value


def _called(code: Code, node: ast.Call, depth: int) -> Any:
    if _environment(code, node.func):
        name, *default = [_value(code, argument, depth - 1) for argument in node.args]
        return os.environ[name] if name in os.environ else default[0]
    function = plain(code.value(node.func))
    if any(function is pure for pure in _PURE):
        return function(*(_value(code, argument, depth - 1) for argument in node.args))
    if isinstance(function, FunctionType) and own(function) and not node.args:
        inner = code_of(function)
        body = inner.tree.body[ast.get_docstring(inner.tree) is not None :] if inner else []
        if inner and len(body) == 1 and isinstance(body[0], ast.Return):
            return _value(inner, body[0].value, depth - 1)
    raise ValueError(node)


def _environment(code: Code, function: Any) -> bool:
    """Whether a call reads an environment variable."""
    if code.value(function) is os.getenv:
        return True
    return isinstance(function, ast.Attribute) and function.attr == "get" and code.value(function.value) is os.environ
