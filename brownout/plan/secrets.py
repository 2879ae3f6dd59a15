"""Leaves the secrets out of a plan that is stored, and puts them back before the plan runs again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from brownout.history.secrets import HIDDEN, Mask, names_secret, secrets_in
from brownout.probes import configuration
from brownout.probes.configuration import LEFT_OUT, hidden

#: Fields whose content is the author's: the names in it may be those of secrets.
_OWN = frozenset({"headers", "json", "form", "args", "kwargs", "options", "settings"})
_ENVIRONMENTS = frozenset({"env", "part_env"})
_KITS = ("promises", "injections")  # fields in which every name is one of the kit
_PLACE = re.compile(r"\{[a-z]+\}")  # "{key}" and "{n}" are no secrets
_NUMBERS = re.compile(r"pass(?:word|wd|phrase|code)|pwd|secret", re.IGNORECASE)  # names whose numbers are secrets, too
FILL_IN = "…"  # stands in a command for a value that is not stored
_UNFILLED = re.compile(f"^{FILL_IN}$|[=:/]{FILL_IN}")
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Lost:
    """A value that is not stored. `at` is its place in the JSON, `text` what stands there now."""

    at: Path
    text: str

    @property
    def name(self) -> str:
        """The name of the field, the header, the setting or the environment variable."""
        return next((str(step) for step in reversed(self.at) if isinstance(step, str)), "")

    @property
    def variable(self) -> str:
        """The environment variable from which a replay takes the value."""
        if _in_environment(self.at):
            return self.name
        return f"BROWNOUT_SECRET_{re.sub(r'[^A-Z0-9]+', '_', self.name.upper())}"


@dataclass(frozen=True)
class Hidden:
    """JSON without secrets, what was left out, and all texts that are secrets."""

    content: Any
    lost: tuple[Lost, ...]
    secrets: frozenset[str]


def hide(content: Any, known: Iterable[str] = (), names: Iterable[str] = ()) -> Hidden:
    """Leave the secrets out of the JSON of a plan or a capsule.

    `known` are values that are secrets wherever they stand, `names` are texts that must stay. The value of a secret's
    name becomes LEFT_OUT, and a secret inside a text becomes ***.
    """
    found, secrets = list(leaves(content)), set(known)
    whole = {at: value for at, value in found if _is_secret(at, value)}
    for at, value in found:
        if isinstance(value, str):
            # Of an environment variable such as DATABASE_URL only the password is a secret.
            named = at in whole and (not _in_environment(at) or configuration.names_secret(str(at[-1])))
            secrets.update(secrets_in(value, whole=named))
    mask, lost = Mask(secrets, names), list[Lost]()
    for at, value in found:
        if at == ("capsule", "scenario"):
            continue  # the name of a test, by which it is run again
        shown = LEFT_OUT if at in whole else mask.text(value) if isinstance(value, str) else value
        if shown != value:
            content = _put(content, at, shown)
            lost.append(Lost(at, str(shown)))
    return Hidden(content, tuple(lost), mask.values)


def typed(field: str, value: Any) -> Any:
    """An author's value of a field such as "kwargs", as it stands in a command: with … in the place of each secret."""
    hidden_value = hide({field: value})
    marked = (Lost(one.at, one.text.replace(LEFT_OUT, FILL_IN).replace(HIDDEN, FILL_IN)) for one in hidden_value.lost)
    return fill(hidden_value.content, marked, lambda one: one.text)[field]


def unfilled(value: Any) -> bool:
    """Whether a value was copied from a command that `typed` made, and a secret in it is not filled in."""
    return any(isinstance(text, str) and _UNFILLED.search(text) for _, text in leaves(value))


def fill(content: Any, lost: Iterable[Lost], value: Callable[[Lost], Any]) -> Any:
    """Return the JSON with `value(lost)` at the place of each value that was left out."""
    for one in lost:
        content = _put(content, one.at, value(one))
    return content


def at(content: Any, path: Path) -> Any:
    """The value at a place of JSON; None when there is no such place."""
    for step in path:
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def matches(lost: Lost, value: Any) -> bool:
    """Whether a value can be the one that was left out: the rest of its text is the same."""
    if value is None or lost.text == LEFT_OUT:
        return value is not None
    parts = [re.escape(part) for part in lost.text.split("***")]
    return isinstance(value, str) and bool(re.fullmatch(".*".join(parts), value, re.DOTALL))


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield the place of each text, number, truth value and null of a JSON value, with the value."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    elif isinstance(value, list | tuple):
        for n, item in enumerate(value):
            yield from leaves(item, (*path, n))
    else:
        yield path, value


def _is_secret(path: Path, value: Any) -> bool:
    """Whether the whole value is a secret, because of a name above it."""
    names = [step for step in path if isinstance(step, str)]
    if value in (None, "", LEFT_OUT) or isinstance(value, bool) or not names or names[0] in _KITS:
        return False
    if isinstance(value, str) and _PLACE.fullmatch(value):
        return False
    if _in_environment(path):
        return hidden(names[-1], str(value))
    inside = next((n for n, name in enumerate(names) if name in _OWN), len(names))
    # A name with a dot is that of a task, such as in `task_routes`.
    own = [name for name in names[inside + 1 :] if "." not in name and names_secret(name)]
    return bool(own) and (isinstance(value, str) or bool(_NUMBERS.search(" ".join(own))))


def _in_environment(path: Path) -> bool:
    return any(step in _ENVIRONMENTS for step in path[:-1])


def _put(content: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    step, *rest = path
    changed = _put(content[step], tuple(rest), value)
    if isinstance(content, dict):
        return {**content, step: changed}
    return [changed if n == step else item for n, item in enumerate(content)]
