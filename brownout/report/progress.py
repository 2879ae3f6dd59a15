"""Shows the progress of a run: the phase of a trial, or how many trials of a campaign have ended."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from brownout.report.tally import Tally
from brownout.run.events import CampaignEnded, CampaignStarted, Event, Phase, Remark, TrialEnded, TrialStarted

if TYPE_CHECKING:
    import pytest

PATIENCE = 2.0  # seconds that a trial must have run before pytest shows its phase
TICK = 0.5  # seconds between two updates under pytest
LINE_EVERY = 5.0  # seconds between two lines where the output is no terminal
DRAW_EVERY = 0.2  # seconds between two updates of a campaign's line on a terminal
Write = Callable[[str], None]


class Progress:
    """Shows the phase of a trial, or how many trials of a campaign have ended.

    `transient` shows a text in place of the text before; an empty text removes it. The first text comes after
    `patience` seconds, a new text every `every` seconds, and the end of the run removes the text. `line` shows a line
    that stays on the screen: a remark, the phase of a trial or, without `transient`, a campaign's progress.
    """

    def __init__(
        self,
        *,
        line: Write | None = None,
        transient: Write | None = None,
        every: float = TICK,
        patience: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._line, self._transient, self._every, self._patience = line, transient, every, patience
        self._clock = clock
        self._tally: Tally | None = None  # counts a campaign's trials; None outside of a campaign
        self._phase, self._since = "", 0.0
        self._begin: float | None = None
        self._lock = threading.Lock()  # the lock is held while a text is shown
        self._stop = threading.Event()
        self._ticker: threading.Thread | None = None

    def __call__(self, event: Event) -> None:
        """Show what the event says; start or stop the thread that updates the text."""
        with self._lock:
            self._see(event)
        if isinstance(event, CampaignEnded) or (isinstance(event, TrialEnded) and not (self._tally or event.again)):
            self._end()

    def _see(self, event: Event) -> None:
        if self._tally:
            self._tally(event)
        match event:
            case CampaignStarted():
                self._tally = Tally()
                self._start(ticking=bool(self._transient or self._line))
            case TrialStarted() if not self._tally:
                self._start(ticking=bool(self._transient))
            case Phase(name, trial) if bool(trial) != bool(self._tally):  # a campaign shows its own phases
                self._phase, self._since = name, self._clock()
                if self._line and trial:
                    self._line(f"  {self._since - (self._begin or self._since):5.1f} s  {name}")
            case Remark(sentence) if self._line:
                self._line(sentence)

    def _start(self, *, ticking: bool) -> None:
        if self._begin is not None:
            return  # the event starts another attempt of the same trial
        self._begin = self._clock()
        if ticking:
            self._ticker = threading.Thread(target=self._tick, args=(self._begin,), name="progress", daemon=True)
            self._ticker.start()

    @property
    def text(self) -> str:
        """The transient text: a campaign's counts, or the phase and its seconds; empty before the first phase."""
        if self._tally and self._tally.total:
            return self._tally.text
        seconds = f"{self._clock() - self._since:.0f} s"
        return (" · " if self._tally else " ").join((self._phase, seconds)) if self._phase else ""

    def _tick(self, begin: float) -> None:
        show, shown = self._transient or self._line, False
        assert show
        while not self._stop.wait(self._every):
            with self._lock:
                if self._clock() - begin >= self._patience and (text := self.text):
                    show(text)
                    shown = True
        if shown and self._transient:
            self._transient("")

    def _end(self) -> None:
        """Remove the transient text, and reset the state for the next run."""
        if self._ticker:
            self._stop.set()
            self._ticker.join()
            self._stop.clear()
        self._ticker, self._tally, self._phase, self._begin = None, None, "", None


def to_stream(stream: TextIO) -> Progress:
    """Progress on a stream: on a terminal one line that is redrawn, elsewhere a line every five seconds."""

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    if not stream.isatty():
        return Progress(line=lambda text: write(f"{text}\n"), every=LINE_EVERY)
    from brownout.report.grid import columns

    return Progress(
        line=lambda text: write(f"\r\x1b[K{text}\n"),
        transient=lambda text: write(f"\r{text[: columns() - 1]}\x1b[K"),
        every=DRAW_EVERY,
    )


def of_pytest(config: pytest.Config) -> Progress:
    """Progress under pytest: with -v a line for each phase, else on a terminal a transient text.

    With -q, without a terminal and in an xdist worker nothing is shown.
    """
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
    collector: Any = config.pluginmanager.get_plugin("brownout-collector")
    if collector is None or terminal is None or terminal.verbosity < 0:
        return Progress()
    if terminal.verbosity == 0:
        transient = _behind_cursor(collector.tty, terminal._tw) if collector.tty is not None else None
        return Progress(transient=transient, every=TICK, patience=PATIENCE)
    capture: Any = config.pluginmanager.get_plugin("capturemanager")

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            terminal.write_line(text)

    return Progress(line=line)


def _behind_cursor(tty: int, line: Any) -> Write:
    """A function that writes a text and moves the cursor back, so that pytest's next output overwrites the text.

    `tty` is the terminal's file descriptor, `line` is pytest's terminal writer.
    """

    def transient(text: str) -> None:
        text = f" {text}"[: max(0, line.fullwidth - line.width_of_current_line - 1)] if text else ""
        os.write(tty, f"{text}\x1b[K{chr(8) * len(text)}".encode())

    return transient
