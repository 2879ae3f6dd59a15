"""Saves the result of a map's campaign to a file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from brownout.explore.kept import Kept
from brownout.run.events import CampaignEnded, Event

STORE: Final = Path("store", "maps")  # the folder for maps when the user names no file


class Stored:
    """Saves a campaign's result to `place` and prints the path on stderr.

    `keep` turns the result into the value that is saved; None means that nothing is saved.
    """

    def __init__(self, place: Path, keep: Callable[[object], Kept | None]) -> None:
        self._place, self._keep = place, keep

    def __call__(self, event: Event) -> None:
        """Save the result at the end of the campaign. Raises OSError when the file cannot be written."""
        if isinstance(event, CampaignEnded) and (kept := self._keep(event.result)):
            self._place.parent.mkdir(parents=True, exist_ok=True)
            if self._place.parent == STORE and not (ignore := STORE.parent / ".gitignore").exists():
                ignore.write_text("*\n")  # keeps stored maps out of git, like the stored trials in the same folder
            kept.save(self._place)
            sys.stderr.write(f"stored in {self._place}\n")
