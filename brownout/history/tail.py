"""Follow a history while it grows: what triggers and drains look at."""

from __future__ import annotations

from pathlib import Path

from brownout.history.event import Event

_START = b'{"at":'


def parse(block: bytes) -> tuple[list[Event], int]:
    """The events of whole lines, and how many lines were torn.

    A writer that is killed inside its write leaves half a line, and the next writer's line follows on it
    without a newline: that second half is a whole event and is kept.
    """
    events, torn = [], 0
    for line in block.splitlines():
        try:
            events.append(Event.from_json(line))
        except (ValueError, KeyError, TypeError):
            torn += 1
            start = line.rfind(_START)
            if start > 0:
                rest, _ = parse(line[start:])
                events += rest
    return events, torn


class Tail:
    """Reads what was appended to a history file since the last look."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.torn = 0
        self._offset = 0

    def poll(self) -> list[Event]:
        """Events of the lines that were completed since the last call; none while the file does not exist."""
        try:
            if self.path.stat().st_size <= self._offset:
                return []
            with self.path.open("rb") as file:
                file.seek(self._offset)
                block = file.read()
        except FileNotFoundError:
            return []
        whole = block.rfind(b"\n") + 1
        self._offset += whole
        events, torn = parse(block[:whole])
        self.torn += torn
        return events
