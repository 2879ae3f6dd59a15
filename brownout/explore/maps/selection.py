"""Chooses cells of a fault map by the names and patterns that a user typed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from brownout.explore.maps.cell import Cell, names
from brownout.plan.near import known


def select(cells: Collection[Cell], points: Collection[str] = (), actions: Collection[str] = ()) -> tuple[Cell, ...]:
    """Return the cells that match one of `points` and one of `actions`; an empty collection matches every cell.

    A pattern for fault points is the name of a point or cell, an edge, a command or a label; if it is none of these, it
    may be a glob pattern (* and ?) or a part of such a name. A pattern for actions is the name of an action ("cut"), or
    a moment and the name ("before-cut"). Raises UnknownName, with similar names, for a pattern that matches no cell.
    """
    short = names(cell.point for cell in cells)
    places = {c: (short[c.point], c.point.full, c.point.edge, c.point.command, c.point.label) for c in cells}
    called = {c: (*of, *(f"{point}/{c.moment}-{c.action}" for point in of[:2])) for c, of in places.items()}
    acting = {c: (c.action, f"{c.moment}-{c.action}") for c in cells}
    by_point = {cell for pattern in points for cell in _fitting("point", pattern, called)}
    by_action = {cell for pattern in actions for cell in _fitting("action", pattern, acting)}
    return tuple(c for c in cells if (not points or c in by_point) and (not actions or c in by_action))


def _fitting(what: str, pattern: str, called: Mapping[Cell, Sequence[str]]) -> set[Cell]:
    exact = {cell for cell, names in called.items() if pattern in names}
    form = re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.IGNORECASE)
    fits = form.fullmatch if what == "action" or set("*?") & set(pattern) else form.search
    found = exact or {cell for cell, names in called.items() if any(map(fits, names))}
    if not found:
        known(what, pattern, {names[0] for names in called.values()})
    return found
