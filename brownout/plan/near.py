"""Say what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnknownName(ValueError):
    """A name that a scenario uses and nobody defines."""


def known(what: str, name: str, names: Iterable[str]) -> str:
    """Return `name` when it is among `names`; else raise UnknownName with its near matches, or with all of them."""
    names = sorted(set(names))
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(names) or 'none'}"
    raise UnknownName(f"no {what} is called {name!r}; {hint}")
