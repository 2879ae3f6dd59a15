"""The schedule of a soak follows from its seed, and its faults do not hide each other."""

from collections import Counter

import pytest

from brownout.plan.plan import Injection
from brownout.plan.seed import stream
from tests.soak.mix import APART, EVERYWHERE, SQLITE, _meet, losses, mixed

JOBS = 2_000


def plan(seed: int, jobs: int = JOBS) -> list[Injection]:
    chance = stream(seed, "soak")
    return [*mixed(jobs, chance), *losses(jobs, chance)]


def test_equal_seeds_give_equal_schedules() -> None:
    assert plan(1) == plan(1) != plan(2)


@pytest.mark.parametrize("seed", range(5))
def test_every_sort_of_fault_comes(seed: int) -> None:
    drawn = Counter(injection.fault.name for injection in plan(seed))
    wanted = {choice.make().name for choice in EVERYWHERE + SQLITE} | {"swallow"}
    assert len(wanted - set(drawn)) <= 2
    assert {"kill", "kill_child", "blackhole", "latency", "swallow"} <= set(drawn)
    assert any(injection.on == "api" and injection.fault.name == "kill" for injection in plan(seed))


@pytest.mark.parametrize("seed", range(5))
def test_faults_of_one_target_are_apart(seed: int) -> None:
    placed = [(injection.when.nth, injection.on) for injection in mixed(JOBS, stream(seed, "soak"))]
    for n, (at, on) in enumerate(placed):
        assert all(later - at >= APART for later, other in placed[n + 1 :] if _meet(on, other))


def test_without_the_relay_the_rest_is_the_same() -> None:
    whole, without = (mixed(JOBS, stream(7, "soak"), relay=relay) for relay in (True, False))
    assert without == [injection for injection in whole if injection.on != "relay"]


def test_one_message_in_a_thousand_is_lost() -> None:
    assert [len(list(losses(jobs, stream(1, "soak")))) for jobs in (100, 2_000, 20_000)] == [1, 2, 20]
