"""Forked and cold processes: what differs once may be a race, and what always differs voids the map."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.explore import campaign as module
from brownout.explore.bounds import Bounds
from brownout.explore.campaign import DISCOVERIES, RECONCILE, Campaign
from brownout.explore.discovery import Discovery
from brownout.explore.experiment import HARDENED, Configuration
from brownout.explore.finding import Finding
from brownout.explore.maps.cell import Cell
from brownout.explore.maps.cell_result import CellResult
from brownout.explore.maps.faultmap import FaultMap
from brownout.explore.maps.pairs import Pair, Plan
from brownout.explore.options import NoMap, Options
from brownout.explore.pairs_campaign import PairCampaign
from brownout.explore.trials import Job
from brownout.plan.point import Point
from brownout.run.events import Event, Purpose, Remark, TrialEnded, TrialStarted
from brownout.run.turns import Stopped, Turns
from brownout.subject.load import Load

CELL = Cell(Point("worker->broker", "ZADD unacked_index"), "before", "cut")
Trial = Callable[[str, Sequence[Cell]], Finding]


class Paper:
    """Stands for Trials: one after the other. `limits` are how many were allowed at once, where it is said."""

    forked, cold = "forked", "cold"

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self.limits: list[int] = []

    def trial(self, _plan: object, launcher: str, schedule: Sequence[Cell]) -> Finding:
        return self._trial(launcher, schedule)

    def stop(self) -> None:
        """Nothing runs."""

    def together(self, jobs: Iterable[Job], at_once: int = 0) -> None:
        jobs = list(jobs)
        if at_once and jobs:
            self.limits.append(at_once)
        for job in jobs:
            job()


@pytest.fixture(autouse=True)
def no_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """An experiment on paper makes no plans."""
    monkeypatch.setattr(module, "plan_of", lambda *_: None)


def campaign(trial: Trial, *, cells: Sequence[Cell] = (CELL,), **options: Any) -> Campaign:
    """One whose trials end as told."""
    configuration = Configuration("defaults", "")
    load, app = SimpleNamespace(name="task"), SimpleNamespace(pool="prefork")
    experiment = SimpleNamespace(configuration=configuration, workload=load, application=app)
    made = Campaign(cast("Any", experiment), Options(**options))
    made.trials, made.planned = cast("Any", Paper(trial)), tuple(cells)
    return made


@pytest.fixture
def compared() -> Callable[..., FaultMap]:
    """A map of one cell, whose words come in turn from a forked and from a cold process."""

    def compared(forked: Sequence[str], cold: Sequence[str]) -> FaultMap:
        words = {"forked": cycle(forked), "cold": cycle(cold)}
        made = campaign(lambda launcher, cells: Finding(next(words[launcher]) if cells else "once"), cold=1)
        made.attempt()
        return made.map(complete=True)

    return compared


def test_what_agrees_is_tried_once(compared: Callable[..., FaultMap]) -> None:
    found = compared(["lost"], ["lost"])
    assert (found.cells[0].seen, found.cold[0].cold, found.void) == ({"lost": 1}, ("lost",), ())


def test_a_race_is_found_and_declared_with_its_counts(compared: Callable[..., FaultMap]) -> None:
    found = compared(["once", "once", "duplicate"], ["duplicate"])
    assert found.cells[0].seen == {"once": 2, "duplicate": 1}
    assert found.cells[0].race
    assert found.void == ()


def test_what_always_differs_voids_the_map(compared: Callable[..., FaultMap]) -> None:
    found = compared(["once"], ["lost"])
    assert found.cells[0].seen == {"once": 1 + RECONCILE}
    assert found.void == (f"{CELL.full} differs between forked (once) and cold (lost) processes",)
    assert found.validity == "unknown"


@pytest.mark.parametrize(
    ("action", "part"), [("all", False), ("standard", False), ("cut", True), ("reset", True), ("", True)]
)
def test_a_map_without_all_standard_cells_is_a_part(action: str, part: bool) -> None:
    made = campaign(lambda *_: Finding("once"))
    assert made.map(complete=False).part, "the points are not known yet"
    made.discovery = Discovery((CELL.point,), {})
    made.planned = made.possible([action] if action else [])
    found = made.map(complete=True)
    assert (found.part, found.whole) == (part, not part)


@pytest.mark.parametrize(
    ("chosen", "action", "part"), [(2, "standard", False), (1, "standard", True), (2, "cut", True)]
)
def test_a_sample_of_pairs_is_a_part(chosen: int, action: str, part: bool) -> None:
    made = PairCampaign(campaign(lambda *_: Finding("once")).experiment, Options())
    assert made.pairs(complete=False).part, "the points are not known yet"
    made.singles.discovery = Discovery((CELL.point,), {})
    made.singles.planned = made.singles.possible([action])
    made.plan, made.drawn = Plan({"all": 5, "pruned": 2}, ()), chosen
    pairs = [Pair(CELL, CELL, f"spot {n}", "once") for n in range(2)]
    made.chosen = dict.fromkeys(pairs[:chosen]) | {Pair(CELL, CELL, "a check", "once"): pairs[0]}
    assert made.pairs(complete=True).part == part


@pytest.mark.parametrize(("settings", "first"), [(HARDENED.settings, "ack"), ({}, "never")])
def test_what_takes_longest_is_tried_first(settings: dict[str, Any], first: str) -> None:
    """A message that is not acked is waited for, where the broker gives it back soon."""
    ack = Point("worker->broker", "ZREM unacked_index;HDEL unacked")
    made = Campaign(cast("Any", None), Options())
    made.bounds = Bounds.of(settings)
    cells = {"short": CELL, "ack": Cell(ack, "before", "cut"), "never": Cell(CELL.point, "after", "never")}
    assert sorted(cells, key=lambda name: made.bounds.place(cells[name]))[0] == first
    assert made.bounds.place(Cell(ack, "after", "cut")) == made.bounds.place(CELL)


# --- a machine that is busy, a harness that breaks


def trial_of(word: str, why: str = "", *, busy: bool = False) -> Finding:
    return Finding(word, why, busy=busy, facts="stored: nothing")


BUSY = trial_of("unknown", "still not true after 20 s: the workers consume", busy=True)
UNREACHED = trial_of("unknown", f"{CELL.point.full} was not reached")


@pytest.fixture
def heard() -> list[Event]:
    """The events of a campaign."""
    return []


@pytest.fixture
def attempted(heard: list[Event]) -> Callable[..., Campaign]:
    """A campaign of some cells, each of whose trials end in turn as given."""

    def attempted(*ends: Finding, cells: int = 1) -> Campaign:
        lives: dict[tuple[Cell, ...], list[Finding]] = {}

        def trial(_launcher: str, schedule: Sequence[Cell]) -> Finding:
            mine = lives.setdefault(tuple(schedule), [*ends] if schedule else [trial_of("once")])
            return mine.pop(0) if len(mine) > 1 else mine[0]

        there = [Cell(Point(CELL.point.edge, f"GET {n}"), "before", "cut") for n in range(cells)]
        made = campaign(trial, cells=there, cold=0, emit=heard.append)
        made.attempt()
        return made

    return attempted


@pytest.mark.parametrize(
    ("ends", "seen", "repeats"),
    [
        ([BUSY, trial_of("lost")], {"lost": 1}, 1),
        ([BUSY, BUSY, trial_of("once")], {"once": 1}, 2),
        ([BUSY, BUSY, BUSY, trial_of("once")], {BUSY.seen: 1}, 2),
        ([trial_of("lost"), trial_of("once")], {"lost": 1}, 0),
        ([UNREACHED, trial_of("once")], {UNREACHED.seen: 1}, 0),
    ],
    ids=["once more", "twice more", "never thrice more", "not what is bad", "not what was not reached"],
)
def test_only_what_the_machine_may_have_done_is_tried_again(
    attempted: Callable[..., Campaign], ends: list[Finding], seen: dict[str, int], repeats: int
) -> None:
    made = attempted(*ends)
    map_ = made.map(complete=True)
    assert (map_.cells[0].seen, map_.cells[0].repeats, map_.repeats) == (seen, repeats, repeats)
    assert FaultMap.from_json(map_.to_json()) == map_


def ends(events: Sequence[Event]) -> list[tuple[str, int, bool, Purpose]]:
    return [
        (event.name, event.attempt, event.again, event.purpose) for event in events if isinstance(event, TrialEnded)
    ]


def test_each_attempt_of_a_cell_and_of_a_control_has_its_end(
    attempted: Callable[..., Campaign], heard: list[Event]
) -> None:
    attempted(BUSY, trial_of("lost"))
    cell = f"{CELL.point.edge}/GET 0#1/before-cut"
    assert sorted(ends(heard), key=str) == [
        ("without a fault", 1, False, Purpose.CONTROL),
        (cell, 1, True, Purpose.PLANNED),
        (cell, 2, False, Purpose.PLANNED),
    ]
    result = next(event.result for event in heard if isinstance(event, TrialEnded) and event.attempt == 2)
    assert isinstance(result, CellResult)
    assert (result.seen, result.repeats) == ({"lost": 1}, 1)


@pytest.mark.parametrize(
    ("schedule", "name", "purpose"),
    [((), "without a fault", Purpose.DISCOVERY), ((CELL, CELL), f"{CELL.full} and {CELL.full}", Purpose.PLANNED)],
    ids=["discovery", "cells"],
)
def test_a_trial_that_is_run_again_at_once_has_an_end_each_time(
    heard: list[Event], schedule: tuple[Cell, ...], name: str, purpose: Purpose
) -> None:
    found = iter([BUSY, trial_of("once")])
    made = campaign(lambda *_: next(found), emit=heard.append)
    assert made.lasting(schedule).word == "once"
    assert ends(heard) == [(name, 1, True, purpose), (name, 2, False, purpose)]


def test_trials_that_find_the_points_are_repeated_alone_after_all_others(heard: list[Event]) -> None:
    found = iter([trial_of("once"), BUSY, BUSY, trial_of("once"), BUSY, trial_of("once")])
    turns: list[bool] = []

    def turn(*, alone: bool, stopped: Callable[[], bool]) -> AbstractContextManager[None]:
        assert not stopped()
        turns.append(alone)
        return nullcontext()

    made = campaign(lambda *_: next(found), emit=heard.append, turn=turn)
    made._discover()
    assert turns == [False] * DISCOVERIES + [True] * 3
    assert [(attempt, again) for _, attempt, again, _ in ends(heard)] == [
        *((1, False), (1, True), (1, True)),
        *((2, False), (2, True), (3, False)),
    ]
    assert made.repeats == 3


def test_a_campaign_that_is_stopped_waits_for_no_turn(tmp_path: Path) -> None:
    turns = Turns(tmp_path)
    made = campaign(lambda *_: trial_of("once"), turn=turns.taken)
    with turns.taken(alone=True):
        made.stop()
        with pytest.raises(Stopped):
            made.lasting([CELL])


def test_a_trial_that_breaks_has_an_end_without_a_result(heard: list[Event]) -> None:
    def breaks(*_: object) -> Finding:
        raise OSError("no more processes")

    made = campaign(breaks, emit=heard.append)
    with pytest.raises(OSError, match="no more processes"):
        made.trial(made.trials.forked, [CELL])
    assert heard == [TrialStarted(CELL.full), TrialEnded(CELL.full, None)]


def test_what_forked_trials_met_is_told() -> None:
    met: list[tuple[tuple[Cell, ...], str]] = []
    made = campaign(lambda launcher, _: Finding(launcher))
    made._met = lambda schedule, found: met.append((tuple(schedule), found.word))
    for launcher in (made.trials.cold, made.trials.forked):
        made.trial(launcher, [CELL])
    assert met == [((CELL,), "forked")]


def test_few_are_tried_again_at_once(attempted: Callable[..., Campaign]) -> None:
    made = attempted(BUSY, trial_of("once"), cells=9)
    assert (made.repeats, cast("Paper", made.trials).limits) == (9, [1])


def test_a_control_that_went_wrong_says_why(attempted: Callable[..., Campaign]) -> None:
    made = attempted(trial_of("once"))
    made.controls.append(trial_of("misreported"))
    assert made.map(complete=True).void == ("a trial without a fault went wrong: misreported (stored: nothing)",)


def test_no_map_says_what_was_seen() -> None:
    bad = replace(trial_of("misreported"), witness=("+0.100 s  worker  started",), logs={"worker.log": "a\nlast"})
    with pytest.raises(NoMap) as caught:
        campaign(lambda *_: bad)._discover()
    told = str(caught.value)
    assert told.startswith("without any fault: misreported (stored: nothing)\n")
    for line in ("worker  started", "--- the end of worker.log", "last"):
        assert line in told


@pytest.mark.parametrize(
    ("wanted", "most", "jobs", "said"),
    [(0.0, 0, 16, 0), (0.0, 3, 3, 0), (4.0, 0, None, 1), (4.0, 2, 2, 0)],
    ids=["idle", "idle and few of use", "busy", "busy and few of use"],
)
def test_the_number_of_trials_at_once_follows_from_the_load(
    monkeypatch: pytest.MonkeyPatch, wanted: float, most: int, jobs: int | None, said: int
) -> None:
    remarks: list[Event] = []
    monkeypatch.setattr(module, "load", lambda: Load(2, min(2.0, wanted), wanted))
    plain, http = (SimpleNamespace(workload=SimpleNamespace(http=http)) for http in (None, "POST /"))
    got = Campaign(cast("Any", plain), Options(most=most, emit=remarks.append))._suitable()
    assert (len(remarks), got if jobs else got < 16) == (said, jobs or True)
    if said:
        busy = "other programs use 2.0 of 2 cores (4.0 threads run or wait for a CPU)"
        assert remarks == [Remark(f"{got} trials at once instead of 16: {busy}")]
    if not wanted and not most:
        half = Campaign(cast("Any", http), Options(emit=remarks.append))._suitable()
        assert half == 8, "a trial with an API has twice the processes"
