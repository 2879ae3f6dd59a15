"""The processes that ended although no fault ended them, one line for each process, for the text of a failure."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import groupby

from brownout.history.event import Event
from brownout.history.view import History


def ends(history: History) -> Iterator[str]:
    """One line for each process and exit code, in the order of the names.

    A process that a fault ended is left out, and so is a process with an exit code in `Application.steps_down`.
    """
    exits = [event for event in history.kind("exit") if not (event.data.get("struck") or event.data.get("orderly"))]
    for (source, code), events in groupby(sorted(exits, key=_ending), key=_ending):
        times = len(list(events))
        how = f"{_code(code)}, and no fault ended it"
        yield f"{source} ended {f'{times} times ' if times > 1 else ''}{how}"


def _ending(event: Event) -> tuple[str, int]:
    return event.source, event.data.get("code", 0)


def _code(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
