"""Pairs of faults on real servers, with real forked workers: what is planned, what is found, and a signal."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from brownout.explore.experiment import DEFAULTS, STOCK, WORKLOADS, Experiment
from brownout.explore.maps.cell import Cell
from brownout.explore.maps.pairs import Pair
from brownout.explore.maps.pairs_map import PairMap, PairResult
from brownout.explore.options import Options
from brownout.explore.pairs_campaign import PairCampaign, run_pairs
from brownout.plan.point import Point
from brownout.report.maps.pairs import report
from brownout.run.events import Event, Planned, Purpose
from brownout.subject.servers import ladder
from brownout.subject.waiting import eventually
from tests.kit import leftovers

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfds (Linux)")

ROOT = Path(__file__).parents[2]
EXPERIMENT = Experiment(STOCK, ROOT, DEFAULTS, WORKLOADS["task"], "brownout.explore.stock.work")
LPUSH, AGAIN, NEVER = (Point("client->broker", "LPUSH celery", n) for n in (1, 2, 9))
FIRST, ALIKE = Cell(LPUSH, "before", "cut"), Cell(LPUSH, "before", "loading")
LOST = Cell(Point("worker->broker", "ZADD unacked_index;HSET unacked"), "before", "cut")
BIND = Point("worker->broker", "SADD _kombu.binding.celery;SADD _kombu.binding_permanent.celery")


class Few(PairCampaign):
    """Two first faults that recover alike and one that loses the task, and some pairs of our choice."""

    def choose(self) -> None:
        """What is planned, but less of it."""
        super().choose()
        stands = {pair: Pair(FIRST, pair.second, pair.spot, pair.alone) for pair in self.pairs_of(ALIKE)}
        few = {
            Pair(FIRST, Cell(AGAIN, "after", "cut"), AGAIN.full, "recovered"): None,
            Pair(FIRST, Cell(AGAIN, "before", "cut"), AGAIN.full, "recovered"): None,
            Pair(FIRST, Cell(NEVER, "before", "cut"), NEVER.full, "recovered"): None,
            Pair(LOST, Cell(BIND, "after", "kill"), "bind", "lost"): None,
        }
        self.chosen = few | {pair: stands[pair] for pair in stands if pair.second == Cell(AGAIN, "after", "cut")}

    def pairs_of(self, cell: Cell) -> tuple[Pair, ...]:
        """Of one first fault."""
        return self.firsts[cell].only(self.ordinary).pairs()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("pairs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(leftovers.MARK, str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        yield folder


@pytest.fixture(scope="module")
def campaign(folder: Path) -> PairCampaign:
    campaign = Few(EXPERIMENT, Options(jobs=4, cold=0))
    try:
        with campaign.singles:
            campaign.explore_singles(FIRST, ALIKE, LOST)
            campaign.choose()
            campaign.explore_pairs()
    except ladder.NoRedis as error:
        pytest.skip(str(error))
    return campaign


@pytest.fixture(scope="module")
def found(campaign: PairCampaign) -> PairMap:
    return campaign.pairs(complete=True)


def row(found: PairMap, first: Cell, second: Cell) -> PairResult:
    (result,) = (result for result in found.rows if (result.pair.first, result.pair.second) == (first, second))
    return result


def test_the_recovery_is_what_a_life_without_a_fault_has_not(campaign: PairCampaign) -> None:
    recovery = campaign.firsts[FIRST].only(campaign.ordinary)
    assert campaign.firsts[FIRST].word == "recovered"
    assert recovery.spots == {
        AGAIN.full,
        "client->broker/connect: PING",
        "client->broker/connect: _kombu.binding",
    }  # and nothing of the probe
    assert {LPUSH.full, "worker->broker/BRPOP celery#1"} <= campaign.ordinary


def test_a_reconnecting_worker_has_a_spot_for_each_purpose(campaign: PairCampaign) -> None:
    recovery = campaign.firsts[LOST].only(campaign.ordinary)
    assert campaign.firsts[LOST].word == "lost"
    assert recovery.spots == {
        f"worker->broker/connect: {purpose}" for purpose in ("BRPOP celery", "_kombu.binding", "celery.pidbox")
    }


def test_first_faults_that_recover_alike_are_merged(campaign: PairCampaign) -> None:
    merged = [{first.cell for first in members} for members in campaign.plan.classes]
    assert merged == [{FIRST, ALIKE}, {LOST}] or merged == [{LOST}, {FIRST, ALIKE}]
    counts = [*campaign.plan.counts.values()]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[1] > counts[2] > counts[3] > 0


@pytest.mark.parametrize(
    ("first", "second", "seen", "unreached"),
    [
        # kombu.connection.Connection.ensure gives a publish up after two
        (FIRST, Cell(AGAIN, "after", "cut"), {"misreported": 1}, {}),
        (FIRST, Cell(AGAIN, "before", "cut"), {"refused": 1}, {}),
        (FIRST, Cell(NEVER, "before", "cut"), {}, {"recovered": 1}),
        (LOST, Cell(BIND, "after", "kill"), {"lost": 1}, {}),  # and the probe is not taken for a silent worker
    ],
)
def test_what_two_faults_do(
    found: PairMap, first: Cell, second: Cell, seen: dict[str, int], unreached: dict[str, int]
) -> None:
    result = row(found, first, second)
    assert (result.seen, result.unreached) == (seen, unreached), (result.note, result.witness)


def test_both_strikes_are_told(found: PairMap) -> None:
    told = row(found, LOST, Cell(BIND, "after", "kill")).witness
    struck = [line for line in told if line.endswith((": cut(), before it", ": kill(children=True), after it"))]
    assert len(struck) == 2, told
    times = [float(line.split()[0]) for line in told if not line.startswith("at the end")]
    assert times == sorted(times)


def test_another_member_of_the_class_agrees(found: PairMap) -> None:
    (check,) = found.checks
    assert (check.member.pair.first, check.stands.pair.first) == (ALIKE, FIRST)
    assert (check.word, check.member.seen) == ("agrees", {"misreported": 1})
    assert "merging: 1 of 1 compared pairs (100%) agree" in report(found, 1, "invalid")


def test_the_whole_is_invalid_and_vouched_for(found: PairMap) -> None:
    assert (found.void, found.doubts, found.validity) == ((), (), "invalid")
    assert found.controls >= 2
    assert found.trials == len(found.rows) + 3 + found.controls
    assert {result.pair.first for result in found.bad if result.worse} == {FIRST, ALIKE}


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(("when", "number"), [("single faults", signal.SIGTERM), ("pairs", signal.SIGINT)])
def test_a_signal_ends_it_with_what_there_is(folder: Path, when: str, number: int) -> None:
    planned: list[Planned] = []

    def interrupt(event: Event) -> None:
        if isinstance(event, Planned) and event.purpose is Purpose.PLANNED:
            planned.append(event)
            if len(planned) == (2 if when == "pairs" else 1):
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    options = Options(points=["LPUSH"], actions=["oom"], jobs=3, cold=0, emit=interrupt)
    try:
        found, stopped = run_pairs(EXPERIMENT, options, sample=2)
    except ladder.NoRedis as error:
        pytest.skip(str(error))
    assert stopped == number
    assert (found.complete, found.tried, found.validity) == (False, (), "unknown")
    assert found.firsts == (1 if when == "pairs" else 0)
    assert found.planned == (2 if when == "pairs" else 0)
    assert "the map was interrupted" in report(found, 128 + stopped, "interrupted")
    assert found.part, "one command, one action, two pairs"
    assert signal.getsignal(number) is before


def test_nothing_is_left(campaign: PairCampaign, folder: Path) -> None:
    def others() -> list[str]:
        found = leftovers.traces(folder, besides=os.getpid()).processes.values()
        return [each for each in found if "brownout.subject.processes.reaper" not in each]  # it ends with this process

    eventually(
        lambda: not others(),
        within=10,
        what="every process ends",
        evidence=lambda: str(others()),
    )
    assert not [path for path in folder.iterdir() if path.is_dir()]
