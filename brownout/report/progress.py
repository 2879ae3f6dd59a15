"""What a trial is doing, for somebody who waits for it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import pytest

PATIENCE = 2.0  # s without a word
TICK = 0.5
Write = Callable[[str], None]


class Progress:
    """Tells of phases: a line each when `line` is given, else one transient text behind the terminal's cursor.

    The transient one comes after two seconds, counts on, and is gone at the end. With neither it says nothing.
    """

    def __init__(self, *, line: Write | None = None, transient: Write | None = None) -> None:
        self._line, self._transient = line, transient
        self._phase, self._since, self._begin = "", 0.0, 0.0
        self._stop = threading.Event()
        self._ticker: threading.Thread | None = None

    def phase(self, name: str) -> None:
        """The next phase begins."""
        now = time.monotonic()
        self._begin = self._begin or now
        self._phase, self._since = name, now
        if self._line:
            self._line(f"  {now - self._begin:5.1f} s  {name}")
        elif self._transient and not self._ticker:
            self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
            self._ticker.start()

    def _tick(self) -> None:
        assert self._transient
        shown = False
        while not self._stop.wait(TICK):
            now = time.monotonic()
            if now - self._begin >= PATIENCE:
                self._transient(f" {self._phase} {now - self._since:.0f} s")
                shown = True
        if shown:
            self._transient("")

    def close(self) -> None:
        """The trial is over: wipe what is transient. A further phase begins another trial."""
        if self._ticker:
            self._stop.set()
            self._ticker.join()
            self._stop.clear()
        self._ticker, self._begin = None, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def of_pytest(config: pytest.Config) -> Progress:
    """A line for each phase with -v, a transient one on a terminal; else nothing, as in an xdist worker."""
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
    desk: Any = config.pluginmanager.get_plugin("brownout-desk")
    if desk is None or terminal is None or terminal.verbosity < 0:
        return Progress()
    if terminal.verbosity == 0:
        return Progress(transient=_behind_cursor(desk.tty, terminal._tw) if desk.tty is not None else None)
    capture: Any = config.pluginmanager.get_plugin("capturemanager")

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            terminal.write_line(text)

    return Progress(line=line)


def _behind_cursor(tty: int, line: Any) -> Write:
    """Write a text and step back before it, so that the next one overwrites it; `line` is pytest's terminal writer."""

    def transient(text: str) -> None:
        text = text[: max(0, line.fullwidth - line.width_of_current_line - 1)]
        os.write(tty, f"{text}\x1b[K{chr(8) * len(text)}".encode())

    return transient
