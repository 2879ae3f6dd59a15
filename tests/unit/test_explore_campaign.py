"""Forked and cold processes: what differs once may be a race, and what always differs voids the map."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.explore import campaign as module
from brownout.explore.bounds import Bounds
from brownout.explore.campaign import RECONCILE, Campaign, NoMap, Options
from brownout.explore.cell import Cell, Point
from brownout.explore.faultmap import FaultMap
from brownout.explore.found import Found
from brownout.explore.mission import HARDENED
from brownout.subject.load import Load

CELL = Cell(Point("worker->broker", "ZADD unacked_index"), "before", "cut")


class Process:
    """A launcher that is told apart and closed."""

    async def close(self) -> None: ...


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FaultMap]:
    """A map of one cell, whose words come in turn from a forked and from a cold process."""
    monkeypatch.setattr(module, "Cold", Process)

    def compared(forked: Sequence[str], cold: Sequence[str]) -> FaultMap:
        words = {True: cycle(forked), False: cycle(cold)}

        async def trial(launcher: object, _schedule: Sequence[Cell] = ()) -> Any:
            word = next(words[launcher is made.forked]) if _schedule else "once"
            return Found(word, "", 0.0, (), (), {}, {}, 0, 0.0)

        configuration = SimpleNamespace(name="defaults", settings={})
        mission = SimpleNamespace(configuration=configuration, workload=SimpleNamespace(name="task"))
        made = Campaign(cast("Any", mission), Options(cold=1), cast("Any", None))
        made.forked, made.trial = cast("Any", Process()), trial  # type: ignore[method-assign, assignment]  # on paper
        made.planned = (CELL,)
        asyncio.run(made.attempt())
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


@pytest.mark.parametrize(("settings", "first"), [(HARDENED.settings, "ack"), ({}, "never")])
def test_what_takes_longest_is_tried_first(settings: dict[str, Any], first: str) -> None:
    """A message that is not acked is waited for, where the broker gives it back soon."""
    ack = Point("worker->broker", "ZREM unacked_index;HDEL unacked")
    made = Campaign(cast("Any", None), Options(), cast("Any", None))
    made.bounds = Bounds.of(settings)
    cells = {"short": CELL, "ack": Cell(ack, "before", "cut"), "never": Cell(CELL.point, "after", "never")}
    assert sorted(cells, key=lambda name: made._place(cells[name]))[0] == first
    assert made._place(Cell(ack, "after", "cut")) == made._place(CELL)


# --- a machine that is busy, a harness that breaks


def trial_of(word: str, why: str = "", *, busy: bool = False) -> Found:
    return Found(word, why, 0.0, (), (), {}, {}, 0, 0.0, busy=busy, facts="stored: nothing")


BUSY = trial_of("unknown", "not within 20 s: the workers consume", busy=True)
UNREACHED = trial_of("unknown", f"{CELL.point.full} was not reached")


@pytest.fixture
def attempted() -> Callable[..., tuple[Campaign, int]]:
    """A campaign of some cells, each of whose trials end in turn as given; and the most trials at once in the end."""

    def attempted(*ends: Found, cells: int = 1) -> tuple[Campaign, int]:
        lives: dict[tuple[Cell, ...], list[Found]] = {}
        under_way, most = 0, 0

        async def trial(_launcher: object, schedule: Sequence[Cell] = ()) -> Found:
            nonlocal under_way, most
            mine = lives.setdefault(tuple(schedule), [*ends] if schedule else [trial_of("once")])
            if len(mine) < len(ends):  # a further attempt
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(0.001)
                under_way -= 1
            return mine.pop(0) if len(mine) > 1 else mine[0]

        configuration = SimpleNamespace(name="defaults", settings={})
        mission = SimpleNamespace(configuration=configuration, workload=SimpleNamespace(name="task"))
        made = Campaign(cast("Any", mission), Options(cold=0), cast("Any", None))
        made.forked, made.trial = cast("Any", Process()), trial  # type: ignore[method-assign, assignment]  # on paper
        made.planned = tuple(Cell(Point(CELL.point.edge, f"GET {n}"), "before", "cut") for n in range(cells))
        asyncio.run(made.attempt())
        return made, most

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
    attempted: Callable[..., tuple[Campaign, int]], ends: list[Found], seen: dict[str, int], repeats: int
) -> None:
    made, _ = attempted(*ends)
    map_ = made.map(complete=True)
    assert (map_.cells[0].seen, map_.cells[0].repeats, map_.repeats) == (seen, repeats, repeats)
    assert FaultMap.from_json(map_.to_json()) == map_


def test_few_are_tried_again_at_once(attempted: Callable[..., tuple[Campaign, int]]) -> None:
    made, most = attempted(BUSY, trial_of("once"), cells=9)
    assert (made.repeats, most) == (9, 2)


def test_a_control_that_went_wrong_says_why(attempted: Callable[..., tuple[Campaign, int]]) -> None:
    made, _ = attempted(trial_of("once"))
    made.controls.append(trial_of("misreported"))
    assert made.map(complete=True).void == ("a trial without a fault went wrong: misreported (stored: nothing)",)


def test_no_map_says_what_was_seen() -> None:
    made = Campaign(cast("Any", None), Options(), cast("Any", None))
    bad = replace(trial_of("misreported"), witness=("+0.100 s  worker  started",), logs={"worker.log": "a\nlast"})

    async def trial(_launcher: object, _schedule: Sequence[Cell] = ()) -> Found:
        return bad

    made.trial, made.forked = trial, cast("Any", None)  # type: ignore[method-assign, assignment]  # on paper
    with pytest.raises(NoMap) as caught:
        asyncio.run(made._discover())
    told = str(caught.value)
    assert told.startswith("without any fault: misreported (stored: nothing)\n")
    for line in ("worker  started", "--- the end of worker.log", "last"):
        assert line in told


class Opening:
    """A bench that opens, or does not."""

    def __init__(self, number: int, opens: bool) -> None:
        self.number, self.opens, self.closed = number, opens, False

    async def open(self) -> None:
        if not self.opens:
            raise OSError("no more ports\nand a long story")

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("opens", [(True, False, True), (False, False)])
def test_a_bench_that_does_not_open_is_left_out_and_told(opens: Sequence[bool]) -> None:
    said: list[str] = []
    made = Campaign(cast("Any", None), Options(say=said.append), cast("Any", None))
    benches = [Opening(n, each) for n, each in enumerate(opens)]
    made._opened = cast("Any", benches)

    async def main() -> None:
        made._opening = [asyncio.ensure_future(made._open(cast("Any", bench))) for bench in benches]
        for _ in range(3):
            if any(opens):
                async with made._bench() as bench:
                    assert cast("Any", bench).opens
            else:
                with pytest.raises(NoMap, match="no bench could be opened: OSError: no more ports"):
                    async with made._bench():
                        pass
        await made._close()

    asyncio.run(main())
    wrong = [n for n, each in enumerate(opens) if not each]
    assert said == [f"bench {n} did not open and is left out: OSError: no more ports" for n in wrong]
    assert all(bench.closed for bench in benches)


@pytest.mark.parametrize(
    ("wanted", "most", "jobs", "said"),
    [(0.0, 0, 16, 0), (0.0, 3, 3, 0), (4.0, 0, None, 1), (4.0, 2, 2, 0)],
    ids=["idle", "idle and few of use", "busy", "busy and few of use"],
)
def test_the_number_of_benches_follows_from_the_load(
    monkeypatch: pytest.MonkeyPatch, wanted: float, most: int, jobs: int | None, said: int
) -> None:
    sentences: list[str] = []
    monkeypatch.setattr(module, "load", lambda: Load(2, min(2.0, wanted), wanted))
    made = Campaign(cast("Any", None), Options(most=most, say=sentences.append), cast("Any", None))
    got = asyncio.run(made._suitable())
    assert (len(sentences), got if jobs else got < 16) == (said, jobs or True)
    if said:
        assert sentences == [
            f"{got} trials at once instead of 16: other programs use 2.0 of 2 cores (4.0 threads run or wait for a CPU)"
        ]


def test_an_error_in_a_callback_of_the_loop_leaves_no_verdict() -> None:
    """As when the conductor raises in the middle of a request: the connection ends, and no fault was meant there."""
    made = Campaign(cast("Any", None), Options(), cast("Any", None))

    def quiet(context: dict[str, Any]) -> None: ...

    def breaks() -> None:
        raise KeyError("no such point")

    async def run() -> Found:
        loop = asyncio.get_running_loop()
        loop.call_soon(breaks)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return trial_of("lost")

    async def main() -> tuple[Found, Found]:
        loop = asyncio.get_running_loop()
        loop.default_exception_handler = quiet  # type: ignore[method-assign]  # it would write a log
        loop.set_exception_handler(made._heard)
        broken = await made._judged(cast("Any", SimpleNamespace(run=run)))

        async def good() -> Found:
            return trial_of("lost")

        return broken, await made._judged(cast("Any", SimpleNamespace(run=good)))

    broken, after = asyncio.run(main())
    assert (broken.seen, after.seen) == ("unknown: KeyError: 'no such point'", "lost")
    assert "in breaks" in broken.trouble
