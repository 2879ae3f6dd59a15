"""Finds the variables by which a project takes the URL of a Redis or of an SQLite file. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

_READ = re.compile(
    r"""\b(?:environ(?:\.get)?|getenv|env(?:\.\w+)?|config)\s*[\[(]\s*["'](\w+)["']"""
    r"""(?:\s*,\s*(?:\w+\s*=\s*)?["']([^"'\n]*)["'])?"""
)
_ASSIGNED = re.compile(
    r"""^\s*(?:-\s*|export\s+)?["']?(\w+)\s*[:=]\s*["']?((?:rediss?|sqlite(?:\+\w+)?)://[^\s"']*)""", re.MULTILINE
)
_REDIS = re.compile("BROKER|REDIS|RESULT|BACKEND", re.IGNORECASE)
_RESULTS = re.compile("RESULT|BACKEND", re.IGNORECASE)
#: The last word of a name that holds a part of a URL, or no URL at all.
_PART = re.compile(
    r"_(host|port|db|database|pass(word)?|user(name)?|prefix|ttl|timeout|expires|ssl|type)$", re.IGNORECASE
)
_URL = re.compile(r"(redis|rediss|unix|redis\+socket)://")
_SQLITE = re.compile(r"(sqlite(?:\+\w+)?):///(.+)")

Variable = tuple[str, str]  # the name, and its value in a trial


def assigned(text: str) -> Iterator[Variable]:
    """Variables that a document, a compose file or an env file gives a URL."""
    for name, url in _ASSIGNED.findall(text):
        if value := _value(name, url):
            yield name, value


def read(text: str) -> Iterator[Variable]:
    """Variables that a Python file reads from its environment."""
    for name, default in _READ.findall(text):
        if value := _value(name, default):
            yield name, value


def fields(tree: ast.Module) -> Iterator[Variable]:
    """Variables that fill the fields of classes of pydantic-settings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("BaseSettings") for base in node.bases):
            prefix = _prefix(node)
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    name, default = _field(field.target.id, field.value)
                    typed = re.search("Dsn|Url", ast.unparse(field.annotation))
                    told = default or typed or re.search("url|dsn|uri", name, re.IGNORECASE)
                    if told and (value := _value(name, default)):
                        yield name if name != field.target.id else f"{prefix}{name}".upper(), value


def _value(name: str, default: str) -> str:
    """The value of a variable in a trial; "" for a variable that is none of Redis or SQLite."""
    if (file := _SQLITE.match(default)) and ":memory:" not in default:
        return f"{file[1]}:///{{files}}/{PurePosixPath(file[2]).name.partition('?')[0]}"
    if not _REDIS.search(name) and not (name.isupper() and _URL.match(default)):
        return ""
    if _PART.search(name) or (default and not _URL.match(default)):
        return ""
    return "{backend}" if _RESULTS.search(name) else "{broker}"


def _prefix(node: ast.ClassDef) -> str:
    """The text of `env_prefix`, in `model_config` or in an inner class."""
    for inner in ast.walk(node):
        named = inner.arg if isinstance(inner, ast.keyword) else ""
        if isinstance(inner, ast.Assign) and isinstance(inner.targets[0], ast.Name):
            named = inner.targets[0].id
        value = getattr(inner, "value", None)
        if named == "env_prefix" and isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
    return ""


def _field(name: str, value: ast.expr | None) -> tuple[str, str]:
    """The name of a field, or the alias that takes its place, and its default when that is a text."""
    given = [value] if isinstance(value, ast.Constant) else []
    if isinstance(value, ast.Call):
        keywords = {keyword.arg: keyword.value for keyword in value.keywords}
        alias = keywords.get("validation_alias") or keywords.get("alias") or keywords.get("env")
        if isinstance(alias, ast.Constant) and isinstance(alias.value, str):
            name = alias.value
        given = [one for one in (*value.args[:1], keywords.get("default")) if isinstance(one, ast.Constant)]
    return name, next((one.value for one in given if isinstance(one.value, str)), "")
