"""The first error of each log near a time: an ERROR or CRITICAL line, or a traceback that no such line announces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from brownout.history.view import History

NS = 1_000_000_000
BEFORE, AFTER = 2 * NS, 30 * NS  # how far from the time a line may be
LONGEST = 20_000_000  # bytes of a log that are read
_LEVEL = re.compile(r"\b(ERROR|CRITICAL)\b")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)[,.]?(\d{0,6})")
_RAISED = re.compile(r"^(?:(?:\w+\.)+\w+|\w*(?:Error|Exception|Exit|Interrupt|Warning))(?::|$)")
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (.+)$')
_LIBRARY = re.compile(r"/(?:site|dist)-packages/|/lib/python\d|/brownout/probes/|^<")
# What Python and asyncio write about an exception that nobody handled, where no logging is configured
_UNHANDLED = re.compile(
    r"Traceback \(most recent call last\)|Exception in (?:thread|callback)|\w+ exception was never retrieved"
)
_NEXT = re.compile(r"\[?\d{4}-\d\d-\d\d|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")


@dataclass(frozen=True)
class LogLine:
    """One line of a log. `at` is None when the line has no time.

    `text` is the whole line, or only its first words where Python itself wrote it: what follows there may be the
    arguments of a function.

    `raised` is the last line of the traceback below it, `own` the innermost frame there that is in no library.
    """

    process: str
    number: int
    text: str
    at: int | None = None
    raised: str = ""
    own: str = ""


def first_errors(folder: Path, history: History, near: int) -> tuple[LogLine, ...]:
    """The first error of each log of a trial's folder that is near the time `near`.

    A log without an error near the time gives its first error at all, or no line.
    """
    found = []
    for path in sorted((folder / "log").glob("*.log")):
        lines = list(errors(path, _clock(history)))
        close = [line for line in lines if line.at is not None and near - BEFORE <= line.at <= near + AFTER]
        found += (close or lines)[:1]
    return tuple(found)


def errors(path: Path, epoch: datetime | None) -> Iterator[LogLine]:
    """All ERROR and CRITICAL lines of a log, and the first lines of tracebacks that belong to no line with the level
    WARNING or higher. `epoch` is the wall time at which the history's clock was 0."""
    with path.open("rb") as file:
        lines = file.read(LONGEST).decode("utf-8", "replace").splitlines()
    at: int | None = None
    within = False  # a line with such a level, or an error, has begun: a traceback below it belongs to it
    for number, line in enumerate(lines):
        if (time := _TIME.search(line)) and epoch is not None:
            at = _nanoseconds(time, epoch)
        if _LEVEL.search(line[:120]):
            yield LogLine(path.stem, number + 1, line, at, *_raised(lines[number + 1 :]))
            within = True
        elif not within and (unhandled := _UNHANDLED.match(line)):
            yield LogLine(path.stem, number + 1, unhandled[0], at, *_raised(lines[number:]))
            within = True
        elif _NEXT.match(line):
            within = "WARNING" in line[:120]


def _raised(lines: list[str]) -> tuple[str, str]:
    """The last line and the innermost own frame of the traceback that follows a line; "" when there is none."""
    last, own, inside = "", "", False
    for line in lines[:2_000]:
        text = line.lstrip(" |")  # an exception group is indented by bars
        inside = inside or text.startswith(("Traceback (most recent call last)", "Exception Group Traceback"))
        if inside and (frame := _FRAME.match(text)) and not _LIBRARY.search(frame[1]):
            own = f"{'/'.join(frame[1].split('/')[-2:])}:{frame[2]} {frame[3]}"
        elif inside and _RAISED.match(text):
            last = text
        elif _NEXT.match(line):
            break
    return last, own


def _clock(history: History) -> datetime | None:
    """The wall time at which the history's clock was 0, from the event that tells both; None in an older history."""
    for event in history.kind("phase"):
        if wall := event.data.get("wall"):
            at = datetime.fromisoformat(str(wall))
            return datetime.fromtimestamp(at.timestamp() - event.at / NS, at.tzinfo)
    return None


def _nanoseconds(time: re.Match[str], epoch: datetime) -> int:
    whole = datetime.fromisoformat(time[1]).replace(tzinfo=epoch.tzinfo)
    fraction = int((time[2] or "0").ljust(6, "0"))
    return int((whole - epoch).total_seconds() * NS) + fraction * 1_000
