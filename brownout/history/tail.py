"""Read a history file while it grows, for triggers and drains."""

from __future__ import annotations

from pathlib import Path

from brownout.history.event import Event

_START = b'{"at":'


def parse(block: bytes) -> tuple[list[Event], int]:
    """Return the events of the complete lines, and the number of lines that were cut off.

    A process that is killed while it writes leaves a part of a line in the file. The next process appends its line
    directly to such a part of a line, so the end of the joined line may be a complete event, which is returned.
    """
    events, torn = [], 0
    for line in block.splitlines():
        try:
            events.append(Event.from_json(line))
        except (ValueError, KeyError, TypeError):
            torn += 1
            start = line.rfind(_START)
            if start > 0:
                complete, _ = parse(line[start:])
                events += complete
    return events, torn


class Tail:
    """Reads the events that were appended to a history file since the last poll."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.torn = 0
        self._offset = 0

    def poll(self) -> list[Event]:
        """Return the events of the lines that became complete since the last call; no events while the file does not
        exist."""
        try:
            if self.path.stat().st_size <= self._offset:
                return []
            with self.path.open("rb") as file:
                file.seek(self._offset)
                block = file.read()
        except FileNotFoundError:
            return []
        end = block.rfind(b"\n") + 1
        self._offset += end
        events, torn = parse(block[:end])
        self.torn += torn
        return events
