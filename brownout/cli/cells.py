"""The arguments that choose cells of a map: names of cells, or options for points and actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from brownout.cli.parser import MANY, option

CELLS: Any = option("CELL", "only 'worker->broker/ZADD#1/before-cut', for example (default: the whole map)", nargs="*")
_POINT = "points of this name, edge or command, or a part of it (default: all)"
_ACTIONS = "standard, all, or names of `brownout list actions` (default: standard; all of a stored map's)"


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Filters. An item of `actions` may have several names, separated by commas."""

    points: tuple[str, ...] = option("--point GLOB", _POINT, **MANY)
    actions: tuple[str, ...] = option("--actions NAME,…", _ACTIONS, **MANY)

    @property
    def action_names(self) -> list[str]:
        """Return the names of the actions. Raises UnknownName, with a similar name, for an unknown name."""
        from brownout.explore.maps.action import chosen

        names = [name for word in self.actions for name in word.split(",")]
        chosen(names)
        return names
