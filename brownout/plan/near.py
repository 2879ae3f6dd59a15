"""Checks names, and suggests known names that are similar."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnknownName(ValueError):
    """A name that is used, in a scenario for instance, but not defined."""


def known(what: str, name: str, names: Iterable[str]) -> str:
    """Return `name` if it is in `names`. If `names` does not contain the name, raise UnknownName with similar names or
    with all `names`."""
    names = sorted(set(names))
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(names) or 'none'}"
    raise UnknownName(f"no {what} is called {name!r}; {hint}")
