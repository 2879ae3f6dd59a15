"""Somebody who waits is told what for: at once with -v, else only when it takes long; and how far a map is."""

import fcntl
import io
import os
import pty
import re
import struct
import termios
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest

from brownout.explore.maps.cell import Cell
from brownout.explore.maps.cell_result import CellResult
from brownout.explore.maps.pairs import Pair
from brownout.explore.maps.pairs_map import PairResult
from brownout.report import progress
from brownout.report.progress import DRAW_EVERY, LINE_EVERY, Progress, to_stream, width
from brownout.report.tally import Tally, left
from brownout.run.events import (
    CampaignEnded,
    CampaignStarted,
    Event,
    Phase,
    Planned,
    Purpose,
    Remark,
    TrialEnded,
    TrialStarted,
)
from brownout.subject.waiting import eventually

LOST = Cell.parse("worker->broker/ZADD unacked_index;HSET unacked#1/before-cut")
STARTED, ENDED = TrialStarted("t"), TrialEnded("t", None)
SOON = 0.001  # s between two looks
WITHIN = 10.0


@dataclass
class Screen:
    """What is shown, and a way to wait for it."""

    texts: list[str] = field(default_factory=list)
    _new: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, text: str) -> None:
        with self._new:
            self.texts.append(text)
            self._new.notify_all()

    def wait_for(self, text: str) -> None:
        with self._new:
            assert self._new.wait_for(lambda: text in self.texts, WITHIN), self.texts


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert "progress" not in {thread.name for thread in threading.enumerate()}


def test_lines_tell_of_each_phase() -> None:
    lines: list[str] = []
    told = Progress(line=lines.append)
    for event in (STARTED, Phase("launch", "t"), Phase("load", "t"), Remark("a bench is left out"), ENDED):
        told(event)
    assert lines == ["    0.0 s  launch", "    0.0 s  load", "a bench is left out"]


def test_the_time_goes_on_when_a_trial_is_run_again_and_begins_anew_with_the_next_one() -> None:
    now, lines = [5.0], list[str]()
    told = Progress(line=lines.append, clock=lambda: now[0])
    for event in (STARTED, Phase("a", "t"), TrialEnded("t", None, 1, again=True), STARTED, Phase("b", "t"), ENDED,
                  STARTED, Phase("c", "t"), ENDED):  # fmt: skip
        told(event)
        now[0] += 1
    assert [line.split() for line in lines] == [["1.0", "s", "a"], ["4.0", "s", "b"], ["1.0", "s", "c"]]


def test_the_transient_text_follows_the_phase_and_is_removed_each_time() -> None:
    screen = Screen()
    told = Progress(transient=screen, every=SOON)
    for _ in range(2):
        screen.texts.clear()
        told(STARTED)
        for name in ("launch", "drain"):
            told(Phase(name, "t"))
            screen.wait_for(f"{name} 0 s")
        told(ENDED)
        assert screen.texts[-1] == "", "removed"
        assert "progress" not in {thread.name for thread in threading.enumerate()}


def test_a_short_trial_shows_nothing_transient() -> None:
    texts, looks, many = list[str](), count(), threading.Event()

    def clock() -> float:
        """Comes within a hair's breadth of the two seconds, and stays there."""
        n = next(looks)
        if n > 50:
            many.set()
        return min(1.0 + n, 2.99)

    told = Progress(transient=texts.append, every=SOON, patience=progress.PATIENCE, clock=clock)
    told(STARTED)
    told(Phase("launch", "t"))
    assert many.wait(WITHIN)
    told(ENDED)
    assert texts == []


def test_with_neither_it_says_nothing() -> None:
    told = Progress()
    for event in (STARTED, Phase("launch", "t"), ENDED, CampaignStarted("m"), Remark("hush"), CampaignEnded("m")):
        told(event)


# --- a map


def cells() -> Iterator[Event]:
    for words in ({"lost+silent": 2}, {"once": 1}, {"once+silent": 1}, {"unknown: why": 1}, {"recovered": 3}):
        yield TrialEnded("cell", CellResult(LOST, words))


def test_planned_trials_are_counted_by_what_became_of_the_task() -> None:
    tally = Tally(lambda: 0.0)
    tally(Planned(100))
    tally(Planned(9))
    assert tally.text == "0 of 109 · 0 good · 0 unknown"
    for event in cells():
        tally(event)
    for purpose in set(Purpose) - {Purpose.PLANNED}:
        tally(TrialEnded("another", CellResult(LOST, {"lost": 1}), purpose=purpose))
    tally(TrialEnded("broken", None))
    assert tally.text == "8 of 109 · 1 silent · 2 lost · 4 good · 1 unknown"


def test_a_pair_counts_whether_or_not_its_second_fault_was_reached() -> None:
    tally, pair = Tally(lambda: 0.0), Pair(LOST, LOST, "spot", "once")
    tally(Planned(2))
    tally(TrialEnded("pair", PairResult(pair, {"lost": 1})))
    tally(TrialEnded("pair", PairResult(pair, {}, {"once": 1})))
    assert tally.text == "2 of 2 · 1 lost · 1 good · 0 unknown"


def test_trials_that_are_run_again_are_counted_apart() -> None:
    tally = Tally(lambda: 0.0)
    tally(Planned(9))
    tally(TrialEnded("cell", CellResult(LOST, {"unknown: busy": 1}), 1, again=True))
    tally(TrialEnded("control", None, 1, again=True, purpose=Purpose.CONTROL))
    assert tally.text == "0 of 9 · 0 good · 0 unknown · 2 run again: the machine is busy"


def test_a_campaign_shows_its_own_phase_and_then_how_far_it_is() -> None:
    screen = Screen()
    told = Progress(transient=screen, every=SOON, clock=lambda: 0.0)
    for event in (CampaignStarted("m"), Phase("looking for points"), STARTED, Phase("launch", "t"), ENDED):
        told(event)
    screen.wait_for("looking for points · 0 s")
    told(Planned(9))
    screen.wait_for("0 of 9 · 0 good · 0 unknown")
    told(TrialEnded("cell", CellResult(LOST, {"lost": 1})))
    screen.wait_for("1 of 9 · 1 lost · 0 good · 0 unknown")
    told(CampaignEnded("m"))
    assert screen.texts[-1] == ""
    assert not [text for text in screen.texts if "launch" in text], "the phase of a trial is not shown"


def test_what_is_left_is_told_from_the_trials_that_have_ended() -> None:
    now = [100.0]
    tally = Tally(lambda: now[0])
    tally(Planned(4, Purpose.DISCOVERY))
    assert tally.text == "0 of 4 trials"
    now[0] += 2
    tally(TrialEnded("without a fault", None, purpose=Purpose.DISCOVERY))
    assert tally.text == "1 of 4 trials · about 6 s left"
    tally(Planned(10))
    assert tally.text == "0 of 10 · 0 good · 0 unknown"
    now[0] += 5
    tally(TrialEnded("cell", CellResult(LOST, {"once": 1})))
    assert tally.text == "1 of 10 · 1 good · 0 unknown · about 45 s left", "the time of the points does not count"
    tally(TrialEnded("cell", CellResult(LOST, {"once": 9})))
    assert tally.text == "10 of 10 · 10 good · 0 unknown"


@pytest.mark.parametrize(
    ("done", "total", "seconds", "text"),
    [
        (0, 9, 5.0, ""),
        (1, 9, 0.0, ""),
        (9, 9, 5.0, ""),
        (1, 2, 0.2, "about 1 s left"),
        (1, 2, 89.0, "about 89 s left"),
        (1, 2, 150.0, "about 2 min left"),
    ],
)
def test_what_is_left_has_a_unit_for_people(done: int, total: int, seconds: float, text: str) -> None:
    assert left(done, total, seconds) == text


def test_a_trial_is_taken_to_last_as_long_as_the_one_before() -> None:
    now = [0.0]
    told = Progress(clock=lambda: now[0], expected=20.0, more=lambda: "3 of 9 tests")
    told(STARTED)
    told(Phase("drain", "t"))
    now[0] += 5
    assert told.text == "drain 5 s · about 15 s left · 3 of 9 tests"
    now[0] += 25
    assert told.text == "drain 30 s · 3 of 9 tests", "nobody knows how much longer"
    told(ENDED)
    told(STARTED)
    told(Phase("drain", "t"))
    now[0] += 10
    assert told.text == "drain 10 s · about 20 s left · 3 of 9 tests"
    told(ENDED)


def test_what_comes_before_a_trial_is_shown_and_tells_nothing_of_its_length() -> None:
    screen, lines, now = Screen(), list[str](), [0.0]
    told = Progress(transient=screen, line=lines.append, every=SOON, clock=lambda: now[0], expected=20.0)
    with told.during("starting a Redis"):
        screen.wait_for("starting a Redis 0 s")
    assert (screen.texts[-1], lines) == ("", [])
    told(STARTED)
    told(Phase("launch", "t"))
    now[0] += 5
    assert told.text == "launch 5 s · about 15 s left"
    told(ENDED)


def test_the_phases_of_many_short_trials_are_no_lines() -> None:
    lines: list[str] = []
    told = Progress(line=lines.append, phases=False)
    for event in (STARTED, Phase("launch", "t"), Remark("keeps it"), ENDED):
        told(event)
    assert lines == ["keeps it"]


# --- a terminal


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[io.TextIOWrapper, Callable[[], str]]]:
    """A terminal of 24 columns, and what was written to it."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 24, 0, 0))
    with os.fdopen(theirs, "w") as stream, os.fdopen(ours, "rb", buffering=0) as shown:
        os.set_blocking(ours, False)
        yield stream, lambda: (shown.read(65_536) or b"").decode()


def test_a_line_fits_the_terminal_that_it_is_drawn_on(
    terminal: tuple[io.TextIOWrapper, Callable[[], str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, shown = terminal
    assert width(stream) == 24, "that of the stream, not of standard output"
    told = to_stream(stream)
    told._every = SOON
    told(CampaignStarted("m"))
    told(Planned(109))
    said: list[str] = []

    def seen() -> bool:
        said.append(shown())
        return "".join(said).count("0 of 109 · 0 good · 0 u\x1b[K") > 1

    eventually(seen, within=WITHIN, what="the line is drawn twice")
    told(CampaignEnded("m"))
    said.append(shown())
    texts = re.split(r"\r|\x1b\[K|\n", "".join(said))
    assert max(map(len, texts)) == 23, "a line that is as wide as the terminal would wrap"
    assert not re.search(r"\x1b\[[0-9;]*m", "".join(said)), "no colour"
    monkeypatch.setenv("COLUMNS", "9")
    assert width(stream) == 9


def test_a_terminal_that_cannot_redraw_a_line_has_plain_lines(
    terminal: tuple[io.TextIOWrapper, Callable[[], str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, shown = terminal
    monkeypatch.setenv("TERM", "dumb")
    told = to_stream(stream)
    told(CampaignStarted("m"))
    told(Remark("4 trials at once"))
    told(CampaignEnded("m"))
    assert shown() == "4 trials at once\r\n"


def test_a_quiet_terminal_shows_nothing(terminal: tuple[io.TextIOWrapper, Callable[[], str]]) -> None:
    stream, shown = terminal
    told = to_stream(stream, quiet=True)
    for event in (CampaignStarted("m"), Remark("4 trials at once"), Planned(9), CampaignEnded("m")):
        told(event)
    assert shown() == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["log", "terminal"])
def test_a_terminal_has_one_line_and_a_log_a_line_each_five_seconds(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    told = to_stream(stream)
    assert told._every == (DRAW_EVERY if stream.isatty() else LINE_EVERY)
    told._every = SOON
    told(CampaignStarted("m"))
    told(Remark("4 trials at once instead of 16"))
    told(Planned(9))
    twice = "0 of 9 · 0 good · 0 unknown"
    eventually(lambda: stream.getvalue().count(twice) > 1, within=WITHIN, what="the text is shown twice")
    told(Remark("bench 3 did not open"))
    told(CampaignEnded("m"))
    shown = stream.getvalue()
    if stream.isatty():
        assert shown.startswith("\r\x1b[K4 trials at once instead of 16\n\r0 of 9 · 0 good · 0 unknown\x1b[K\r0 of 9")
        assert "\r\x1b[Kbench 3 did not open\n" in shown
        assert shown.endswith("\r\x1b[K")
    else:
        assert shown.startswith("4 trials at once instead of 16\n0 of 9 · 0 good · 0 unknown\n0 of 9")
        assert "\nbench 3 did not open\n" in shown
