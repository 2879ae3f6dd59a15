"""The settings that are in effect in this process, as JSON, without secrets.

`BROWNOUT_SETTINGS` names the application's own settings as "module:attribute": a mapping, a dataclass, a pydantic
model, any other object with attributes, or a function that returns one of these.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
from typing import Any, Callable, Mapping

LEFT_OUT = "(left out)"
LONGEST = 500  # characters of a value
#: Names of settings whose value is a secret, and values that hold one.
_NAMES = re.compile(r"pass|secret|token|credential|signature|auth|private|api_?key|(^|_)key$", re.IGNORECASE)
_VALUES = re.compile(r"//[^/@\s]+@|[?&][^=&\s]*(pass|secret|token|key)[^=&\s]*=", re.IGNORECASE)
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def plain(name: str, value: Any) -> Any:
    """The value of a setting as JSON; LEFT_OUT for a value whose name or URL says that it holds a password."""
    if _NAMES.search(name):
        return LEFT_OUT
    if isinstance(value, Mapping):
        return {str(key): plain(str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(name, item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(str(plain(name, item)) for item in value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    return LEFT_OUT if _VALUES.search(text) else _ADDRESS.sub("", text)[:LONGEST]


def of_celery(app: Any) -> dict[str, Any]:
    """The settings of a Celery application that are not Celery's defaults."""
    return {name: plain(name, value) for name, value in app.conf.table(censored=False).items()}


def of_application() -> dict[str, Any]:
    """The application's own settings; nothing when it names none. Raises what the import and the function raise."""
    module, _, path = os.environ.get("BROWNOUT_SETTINGS", "").partition(":")
    if not module:
        return {}
    found: Any = importlib.import_module(module)
    for attribute in path.split("."):
        found = getattr(found, attribute)
    if callable(found):
        found = found()
    if hasattr(found, "model_dump"):
        found = found.model_dump()
    elif dataclasses.is_dataclass(found):
        found = dataclasses.asdict(found)  # type: ignore[arg-type]  # an instance: classes were called
    fields = found if isinstance(found, Mapping) else vars(found)
    return {str(name): plain(str(name), value) for name, value in fields.items()}


def effective(app: Any = None) -> dict[str, Any]:
    """What is in effect here; `app` is a worker's. What cannot be read is told by its error: no process ends of it."""
    readers: dict[str, Callable[[], dict[str, Any]]] = {"application": of_application}
    if app is not None:
        readers["celery"] = lambda: of_celery(app)
    answer = {}
    for part, read in readers.items():
        try:
            answer[part] = read()
        except Exception as error:
            answer[part] = {"unreadable": f"{type(error).__name__}: {error}"[:LONGEST]}
    return answer
