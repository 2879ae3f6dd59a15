"""Read a history file while it grows, for triggers and drains."""

from __future__ import annotations

from pathlib import Path

from brownout.history.event import Event

_START = b'{"at":'


def parse(block: bytes) -> tuple[list[Event], int]:
    """Return the events of the complete lines, and the number of torn lines.

    A writer that is killed during its write leaves part of a line. The next writer appends its line to that part
    without a newline, so the end of a torn line may be a complete event, which is returned.
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
        """Return the events of lines completed since the last call; none while the file does not exist."""
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
