"""Saves the result of a map's campaign to a file."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from brownout.explore.maps.kept import Kept
from brownout.run.events import CampaignEnded, Event

TRACES: Final = Path("store")  # the folder for traces of trials when the user names no folder
STORE: Final = TRACES / "maps"  # the folder for maps when the user names no file


class Stored:
    """Saves a campaign's result to `place` and prints the path; with `parts` also a result that is not whole."""

    def __init__(self, place: Path, *, parts: bool) -> None:
        self._place, self._parts = place, parts

    def __call__(self, event: Event) -> None:
        """Save the result at the end of the campaign. Raises OSError when the file cannot be written."""
        if (
            isinstance(event, CampaignEnded)
            and isinstance(result := event.result, Kept)
            and (result.whole or self._parts)
        ):
            write(result, self._place)


def write(result: Kept, path: Path) -> Path:
    """Write the file and its folders, print the path and return it. Raises OSError when the file cannot be written.

    A part of a result, or an interrupted one, never replaces a whole one. A part of a result is written to
    NAME.part.json beside NAME.json.
    """
    if not result.whole and _whole(path):
        path = path.with_suffix(".part.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent == STORE and not (ignore := TRACES / ".gitignore").exists():
        ignore.write_text("*\n")  # the folder of maps is ignored by git, as is the folder of traces
    result.save(path)
    sys.stderr.write(f"stored in {path}\n")
    return path


def _whole(path: Path) -> bool:
    """Whether the file has a whole result of any kind."""
    with suppress(OSError, ValueError):
        if not path.is_file():
            return False  # nothing is read, because a read from a pipe would wait for ever
        record = json.loads(path.read_bytes())
        return (
            isinstance(record, dict)
            and record.get("complete") is True
            and not (record.get("part") or record.get("shard"))
        )
    return False
