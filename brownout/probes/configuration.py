"""The settings that are in effect in this process, as JSON, without secrets.

`BROWNOUT_SETTINGS` names the application's own settings as "module:attribute": a mapping, a dataclass, a pydantic
model, any other object with attributes, or a function that returns one of these.
"""

from __future__ import annotations

import enum
import importlib
import os
import re
from types import FunctionType, MethodType, ModuleType
from typing import Any, Callable, Mapping

LEFT_OUT = "(left out)"
LONGEST = 500  # The longest text of a value, in characters.
#: Names of settings whose value is a secret. A name in camel case is matched with "_" before its capitals.
_NAMES = re.compile(
    r"pass(?!ive)|pwd|secret|token|salt|dsn|webhook|credential|signature|auth|private"
    r"|(api|access|account|encryption|signing|master)_?key"
    r"|(^|_)(?<!routing_)(?<!idempotency_)(?<!primary_)keys?(_?v?\d+)?$",
    re.IGNORECASE,
)
#: Texts that hold a secret: name and value in any notation, a header, a PEM key, a URL with a user.
_VALUES = re.compile(
    r"(pass(word|wd|phrase)|(?<![a-z])pass(?![a-z])|pwd|secret|token|credentials?|signature|salt"
    r"|(api|access|account|encryption|private)[ _-]?key)([_-]\w+)?\s*[\\\"']*\s*[=:]"
    r"|[?&][^=&\s]*(pass|secret|token|key)[^=&\s]*=|authorization\s*[\\\"']*\s*[=:]"
    r"|\bbearer\s|\bbasic\s+[\w+/-]{8,}|begin .*private"
    r"|//\S*@|//[^\s/@]*:[^@\n]*@"  # A password in a URL may contain "/" or a space: take all up to the last "@".
    r"|input_value=",  # Errors of pydantic repeat the wrong value after `input_value=`.
    re.IGNORECASE,
)
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# A value with a placeholder such as {broker} gets an address or a folder of the trial, and is no secret
_PLACE = re.compile(r"\{[a-z]+\}[\w/.-]*")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
DEPTH = 8  # Values that are nested in other values are stored down to this depth.
# For one setting at most this many objects are converted, because attributes may lead to the whole program.
OBJECTS = 50
#: Objects of these packages are stored as text, because their `repr` is short, and the pattern `_VALUES` finds all
#: secrets in it.
_WRITTEN = {"celery", "datetime", "decimal", "fractions", "ipaddress", "kombu", "logging", "pathlib", "pydantic",
            "pydantic_core", "re", "threading", "uuid", "zoneinfo"}  # fmt: skip


def plain(name: str, value: Any) -> Any:
    """The value of a setting as JSON, with LEFT_OUT in the place of each value that looks like a secret.

    A value looks like a secret because of its name or its text. An object becomes a mapping of its fields, so that each
    field's name is checked, too.
    """
    return _plain(name, value, DEPTH, [])


def hidden(name: str, value: str) -> bool:
    """Whether the value of an environment variable looks like a secret; "{broker}" and its like never do."""
    return not _PLACE.fullmatch(value) and bool(plain(name, value) == LEFT_OUT)


def names_secret(name: str) -> bool:
    """Whether the value of a setting of this name is a secret."""
    return bool(_NAMES.search(_CAPITAL.sub("_", name)))


def _plain(name: str, value: Any, depth: int, seen: list[Any]) -> Any:
    """Return a value as JSON with at most `depth` levels, without secrets. `seen` has the objects that were converted
    already: an object is converted only once, so that cycles end."""
    if names_secret(name):
        return LEFT_OUT
    if value is None or isinstance(value, (bool, int, float)):
        return value
    fields = _fields(value)
    items = value if isinstance(value, (list, tuple, set, frozenset)) else None
    if fields is None and items is None:
        return _text(value)
    known = not isinstance(value, Mapping) and (len(seen) == OBJECTS or any(value is other for other in seen))
    if not depth or (fields is not None and known):
        return f"<{type(value).__name__}>"
    if fields is not None:
        if not isinstance(value, Mapping):
            seen.append(value)
        return {_text(key): _plain(str(key), item, depth - 1, seen) for key, item in fields.items()}
    answer = [_item(name, item, depth - 1, seen) for item in items or ()]
    return sorted(map(str, answer)) if isinstance(value, (set, frozenset)) else answer


def _item(name: str, item: Any, depth: int, seen: list[Any]) -> Any:
    """Return an item of a sequence as JSON. A pair whose first item is a text, such as an HTTP header, counts as a name
    and its value."""
    if type(item) in (list, tuple) and len(item) == 2 and isinstance(item[0], str):
        return [_plain(name, item[0], depth, seen), _plain(item[0], item[1], depth, seen)]
    return _plain(name, item, depth, seen)


def _fields(value: Any) -> Mapping[Any, Any] | None:
    """Return the fields of a mapping or an object, or None for a value without fields, and for a value that is kept as
    text."""
    if isinstance(value, Mapping):
        return value
    kind = type(value)
    for method in ("model_dump", "_asdict"):  # the fields of pydantic's models and of named tuples
        if hasattr(kind, method):
            return dict(getattr(value, method)())
    as_text = (str, bytes, list, tuple, set, frozenset, type, FunctionType, MethodType, ModuleType, enum.Enum)
    if isinstance(value, as_text) or kind.__module__.partition(".")[0] in _WRITTEN:
        return None
    slots = [base.__dict__.get("__slots__", ()) for base in kind.__mro__]
    names = [name for slot in slots for name in ([slot] if isinstance(slot, str) else slot)]
    held = {name: getattr(value, name) for name in names if name[:2] != "__" and hasattr(value, name)}
    return {**held, **getattr(value, "__dict__", {})} or None


def _text(value: Any) -> str:
    if isinstance(value, (FunctionType, MethodType)):
        return f"{value.__module__}.{value.__qualname__}"  # the `repr` of a method contains the `repr` of its object
    text = str(value)
    return LEFT_OUT if _VALUES.search(text) else _ADDRESS.sub("", text)[:LONGEST]


def of_celery(app: Any) -> dict[str, Any]:
    """Return the settings of a Celery application that differ from Celery's defaults."""
    return {name: plain(name, value) for name, value in app.conf.table(censored=False).items()}


def of_application() -> dict[str, Any]:
    """Return the application's own settings, or nothing when `BROWNOUT_SETTINGS` is not set. Raises the exceptions of
    the import and of the function."""
    module, _, path = os.environ.get("BROWNOUT_SETTINGS", "").partition(":")
    if not module:
        return {}
    found: Any = importlib.import_module(module)
    for attribute in path.split("."):
        found = getattr(found, attribute)
    if callable(found):
        found = found()
    fields = _fields(found) or vars(found)
    return {_text(name): plain(str(name), value) for name, value in fields.items()}


def effective(app: Any = None) -> dict[str, Any]:
    """Return the settings in effect in this process; the argument `app` is the worker's Celery application. Return the
    error as text when the settings cannot be read, because this probe must not end a process."""
    readers: dict[str, Callable[[], dict[str, Any]]] = {"application": of_application}
    if app is not None:
        readers["celery"] = lambda: of_celery(app)
    answer = {}
    for part, read in readers.items():
        try:
            answer[part] = read()
        except Exception as error:
            answer[part] = {"unreadable": f"{type(error).__name__}: {_text(error)}"}
    return answer
