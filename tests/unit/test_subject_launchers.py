"""Which launcher an application gets: a shared forker first, one of its own when it is started again."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from brownout.subject.application import Application
from brownout.subject.processes import launchers
from brownout.subject.processes.forks import NotForkable
from brownout.subject.processes.launchers import Launchers

APP, OTHER = Application(celery="a"), Application(celery="b")
ROOT = Path()


@dataclass
class Fake:
    """Stands for a forker: what it preloads tells which one it is."""

    made: str
    remarks: tuple[str, ...] = ()
    closed: bool = False
    alive: bool = True
    kind: str = "forked"
    process: Any = field(init=False)

    def __post_init__(self) -> None:
        self.process = self

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Fake]:
    """What was started, in order; the platform is Linux."""
    found: list[Fake] = []

    def start(name: str) -> Fake:
        found.append(Fake(name))
        return found[-1]

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(launchers, "Forked", lambda *_, **__: start("shared"))
    monkeypatch.setattr(launchers, "forks_of", lambda application, _: start(application.celery))
    return found


def test_an_application_that_is_started_again_gets_a_forker_of_its_own(made: list[Fake]) -> None:
    kept = Launchers()
    got: list[Any] = [kept.of(app, ROOT, "auto") for app in (APP, OTHER, APP, APP)]
    assert [made.index(fake) for fake in got] == [0, 0, 1, 1]
    assert [fake.made for fake in made] == ["shared", "a"]
    kept.close()
    assert all(fake.closed for fake in made)


def test_cold_is_cold_whatever_could_be_forked(made: list[Fake]) -> None:
    assert Launchers().of(APP, ROOT, "cold").kind == "cold"
    assert not made


@pytest.mark.parametrize("why", ["a thread was started", "not linux", "import fails"])
def test_where_a_fork_may_differ_the_command_line_is_used_and_forked_is_refused(
    made: list[Fake], monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    def remarked(*_: object) -> Fake:
        if why == "import fails":
            raise NotForkable(why)
        made.append(Fake("remarked", (why,)))
        return made[-1]

    monkeypatch.setattr(launchers, "forks_of", remarked)
    if why == "not linux":
        monkeypatch.setattr(sys, "platform", "darwin")
    kept = Launchers()
    kept.of(APP, ROOT, "auto")
    assert kept.of(APP, ROOT, "auto").kind == "cold"
    assert all(fake.closed for fake in made if fake.remarks)
    with pytest.raises(NotForkable, match="forks need Linux" if why == "not linux" else why):
        kept.of(APP, ROOT, "forked")


def test_a_forker_that_somebody_ended_is_started_again(made: list[Fake]) -> None:
    kept = Launchers()
    kept.of(APP, ROOT, "auto")
    made[0].alive = False
    again: Any = kept.of(OTHER, ROOT, "auto")
    assert again is made[1]
