"""Maps as files: what a map's campaign found is kept."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from brownout.explore.kept import Kept
from brownout.run.events import CampaignEnded, Event

TRACES: Final = Path("store")  # where traces of trials are kept that nobody gave a place
STORE: Final = TRACES / "maps"  # where maps are kept that nobody gave a place


class Stored:
    """Writes what `keep` makes of a campaign's result to `place`, and says so; nothing when `keep` returns None."""

    def __init__(self, place: Path, keep: Callable[[object], Kept | None]) -> None:
        self._place, self._keep = place, keep

    def __call__(self, event: Event) -> None:
        """See the class. Raises OSError when the file cannot be written."""
        if isinstance(event, CampaignEnded) and (kept := self._keep(event.result)):
            self._place.parent.mkdir(parents=True, exist_ok=True)
            if self._place.parent == STORE and not (ignore := TRACES / ".gitignore").exists():
                ignore.write_text("*\n")  # as the traces of trials beside it
            kept.save(self._place)
            sys.stderr.write(f"stored in {self._place}\n")
