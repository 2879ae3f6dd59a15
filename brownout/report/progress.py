"""Shows the progress of a run: the phase of a trial, or how many trials of a campaign have ended, and what is left."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from brownout.report.tally import Tally, left
from brownout.run.events import CampaignEnded, CampaignStarted, Event, Phase, Remark, TrialEnded, TrialStarted

if TYPE_CHECKING:
    import pytest

PATIENCE = 2.0  # seconds that a trial must have run before pytest shows its phase
TICK = 0.5  # seconds between two updates under pytest
LINE_EVERY = 5.0  # seconds between two lines where the output is no terminal
DRAW_EVERY = 0.2  # seconds between two updates of a campaign's line on a terminal
Write = Callable[[str], None]


class Progress:
    """Shows the phase of a trial, or how many trials of a campaign have ended, and about how long the rest takes.

    `transient` shows a text in place of the text before; an empty text removes it. The first text comes after
    `patience` seconds, a new text every `every` seconds, and the end of the run removes the text. `line` shows a line
    that stays on the screen: a remark, the phase of a trial or, without `transient`, a campaign's progress.
    Without `phases` the phases of a trial are no lines. `expected` is how long (s) a trial probably takes; each later
    trial is taken to be as long as the trial before. `more` is a text that stands behind the phase.
    """

    def __init__(
        self,
        *,
        line: Write | None = None,
        transient: Write | None = None,
        every: float = TICK,
        patience: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        phases: bool = True,
        expected: float = 0.0,
        more: Callable[[], str] = str,
    ) -> None:
        self._line, self._transient, self._every, self._patience = line, transient, every, patience
        self._clock, self._phases, self._expected, self._more = clock, phases, expected, more
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

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Within the block, show that this is going on. No line is written."""
        line, self._line = self._line, None
        self(TrialStarted(what))
        self(Phase(what, what))
        try:
            yield
        finally:
            self._begin = None  # says nothing about how long a trial takes
            self._end()
            self._line = line

    def _see(self, event: Event) -> None:
        if self._tally:
            self._tally(event)
        match event:
            case CampaignStarted():
                self._tally = Tally(self._clock)
                self._start(ticking=bool(self._transient or self._line))
            case TrialStarted() if not self._tally:
                self._start(ticking=bool(self._transient))
            case Phase(name, trial) if bool(trial) != bool(self._tally):  # a campaign shows its own phases
                self._phase, self._since = name, self._clock()
                if self._line and trial and self._phases:
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
        now = self._clock()
        if not self._phase:
            return ""
        if self._tally:
            return " · ".join(filter(None, (self._phase, f"{now - self._since:.0f} s", self._tally.text)))
        ran = 0.0 if self._begin is None else now - self._begin
        return " · ".join(
            filter(None, (f"{self._phase} {now - self._since:.0f} s", left(ran, self._expected, ran), self._more()))
        )

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
        if self._begin is not None:
            self._expected = self._clock() - self._begin
        self._ticker, self._tally, self._phase, self._begin = None, None, "", None


def to_stream(stream: TextIO, *, quiet: bool = False, phases: bool = True, expected: float = 0.0) -> Progress:
    """Progress on a stream: on a terminal one line that is redrawn, elsewhere a line every five seconds.

    With `quiet` nothing is shown. `phases` and `expected` are those of Progress.
    """

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    if quiet:
        return Progress()
    if not stream.isatty() or os.environ.get("TERM") == "dumb":  # a dumb terminal cannot go back to redraw a line
        return Progress(line=lambda text: write(f"{text}\n"), every=LINE_EVERY, phases=phases)
    return Progress(
        line=lambda text: write(f"\r\x1b[K{text}\n"),
        transient=lambda text: write(f"\r{text[: max(0, width(stream) - 1)]}\x1b[K"),
        every=DRAW_EVERY,
        phases=phases,
        expected=expected,
    )


def width(terminal: TextIO | int) -> int:
    """The width of a stream or descriptor in characters: the variable COLUMNS if set, else what the terminal says."""
    try:
        fd = terminal if isinstance(terminal, int) else terminal.fileno()
        return int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size(fd).columns or 80
    except (OSError, ValueError):
        return 80


def of_pytest(config: pytest.Config, expected: float = 0.0) -> Progress:
    """Progress under pytest: with -v a line for each phase, else on a terminal a transient text.

    With -q, without a terminal and in an xdist worker nothing is shown.
    """
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
    collector: Any = config.pluginmanager.get_plugin("brownout-collector")
    if collector is None or terminal is None or terminal.verbosity < 0:
        return Progress()
    if terminal.verbosity == 0:
        transient = collector.transient
        return Progress(transient=transient, every=TICK, patience=PATIENCE, expected=expected, more=collector.left)
    capture: Any = config.pluginmanager.get_plugin("capturemanager")

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            terminal.write_line(text)

    return Progress(line=line)


def behind_cursor(tty: int, line: Any) -> Write:
    """A function that writes a text and moves the cursor back, so that pytest's next output overwrites the text.

    `tty` is the terminal's file descriptor, `line` is pytest's terminal writer.
    """

    def transient(text: str) -> None:
        # Not the writer's own width, which is 80 for a terminal of less than 40 characters.
        text = f" {text}"[: max(0, width(tty) - line.width_of_current_line - 1)] if text else ""
        os.write(tty, f"{text}\x1b[K{chr(8) * len(text)}".encode())

    return transient
