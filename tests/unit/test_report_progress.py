"""Somebody who waits is told what for, and only when it takes long."""

import threading
from itertools import count

import pytest

from brownout.report import progress
from brownout.report.progress import Progress


def test_lines_tell_of_each_phase() -> None:
    lines: list[str] = []
    with Progress(line=lines.append) as told:
        told.phase("launch")
        told.phase("load")
    assert [line.split() for line in lines] == [["0.0", "s", "launch"], ["0.0", "s", "load"]]


def test_the_transient_text_follows_the_phase_and_is_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "TICK", 0.001)
    texts: list[str] = []
    seen = {"launch": threading.Event(), "drain": threading.Event()}

    def write(text: str) -> None:
        texts.append(text)
        for name, event in seen.items():
            if name in text:
                event.set()

    with Progress(transient=write) as told:
        for name, event in seen.items():
            told.phase(name)
            assert event.wait(10), texts
    assert texts[0] == " launch 0 s"
    assert texts[-1] == "", "wiped"
    assert "progress" not in {thread.name for thread in threading.enumerate()}


def test_a_short_trial_shows_nothing_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TICK", 0.001)
    texts, looks, many = list[str](), count(), threading.Event()

    class Clock:
        """Comes within a hair's breadth of the two seconds, and stays there."""

        @staticmethod
        def monotonic() -> float:
            n = next(looks)
            if n > 50:
                many.set()
            return min(1.0 + n, 2.99)

    monkeypatch.setattr(progress, "time", Clock)
    with Progress(transient=texts.append) as told:
        told.phase("launch")
        assert many.wait(10)
    assert texts == []


def test_a_second_trial_has_a_transient_text_too_and_its_time_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "TICK", 0.001)
    shown, texts = threading.Event(), list[str]()

    def write(text: str) -> None:
        texts.append(text)
        shown.set()

    told = Progress(transient=write)
    for _ in range(2):
        shown.clear()
        told.phase("launch")
        assert shown.wait(10)
        told.close()
        assert texts[-1] == "", "wiped, and silent until the next phase"
        assert "progress" not in {thread.name for thread in threading.enumerate()}
        assert told._begin == 0.0
    told.close()


def test_with_neither_it_says_nothing() -> None:
    with Progress() as told:
        told.phase("launch")
