"""The schedule's ticks: each is one row, done in order; missed ticks are caught up to a limit, older ones skipped."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from system import retention as retention_module
from system import store as store_module
from system import ticks as ticks_module
from system.celery_app import make_celery
from system.settings import Settings
from system.store import Store
from system.ticks import due_ticks
from tests.unit.clock import rows

PERIOD, CATCH_UP, START = 60.0, 3, 60.0 * 1_000


class Clock:
    """The time of the schedule."""

    def __init__(self) -> None:
        self.at = START + 1

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (ticks_module, store_module, retention_module):
        monkeypatch.setattr(module, "now", clock)
    return clock


@pytest.fixture
def config(configure: Callable[..., Settings]) -> Settings:
    return configure(tick_seconds=PERIOD, tick_catch_up=CATCH_UP, retention=100 * PERIOD)


@pytest.fixture
def store(config: Settings) -> Store:
    store = Store(config)
    store.create()
    return store


def all_done(store: Store) -> int:
    done = 0
    while store.tick():
        done += 1
    return done


def told(config: Settings) -> list[tuple[int, bool]]:
    """The number of each tick, counted from START, and whether it was skipped."""
    return [(round((row["due"] - START) / PERIOD), row["skipped"]) for row in rows(config, "ticks")]


def effects(config: Settings) -> list[int]:
    """The numbers of the ticks whose work was done, in the order of their work."""
    keys = [row["key"].partition("@")[2] for row in rows(config, "effects")]
    return [round((float(key) - START) / PERIOD) for key in keys]


def test_a_schedule_begins_with_the_newest_tick(store: Store, config: Settings, clock: Clock) -> None:
    assert [store.tick(), store.tick()] == [True, False]
    assert told(config) == [(0, False)]


def test_missed_ticks_are_caught_up_in_order(store: Store, config: Settings, clock: Clock) -> None:
    assert all_done(store) == 1
    clock.at += (CATCH_UP + 1) * PERIOD
    assert all_done(store) == CATCH_UP + 1, "the missed ticks, and the present one"
    assert effects(config) == list(range(CATCH_UP + 2))
    assert told(config) == [(number, False) for number in range(CATCH_UP + 2)]


def test_older_ticks_are_recorded_as_skipped(
    store: Store, config: Settings, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert all_done(store) == 1
    clock.at += 10 * PERIOD
    assert all_done(store) == CATCH_UP + 1
    skipped = list(range(1, 10 - CATCH_UP))
    assert [number for number, was_skipped in told(config) if was_skipped] == skipped
    assert effects(config) == [0, *range(10 - CATCH_UP, 11)]
    assert f"{len(skipped)} missed ticks are skipped" in caplog.text


def test_ticks_before_the_retention_are_not_recorded(store: Store, config: Settings, clock: Clock) -> None:
    assert all_done(store) == 1
    clock.at += 1_000_000 * PERIOD
    assert all_done(store) == CATCH_UP + 1
    assert len(told(config)) <= 1 + config.retention / PERIOD + 1


def test_a_clock_that_goes_back_makes_no_tick_again(store: Store, config: Settings, clock: Clock) -> None:
    for _ in range(6):
        assert all_done(store) == 1
        clock.at += PERIOD
    clock.at -= 5 * PERIOD
    assert not store.tick()


def test_a_clock_that_was_ahead_for_a_while_stops_no_schedule(store: Store, config: Settings, clock: Clock) -> None:
    """The ticks go on from the right time, and none that was done is done again."""
    assert all_done(store) == 1
    clock.at += 10 * PERIOD
    assert all_done(store) == CATCH_UP + 1
    clock.at -= 9 * PERIOD
    for _ in range(12):
        all_done(store)
        clock.at += PERIOD
    done = effects(config)
    ahead, later = range(10 - CATCH_UP, 11), range(2, 10 - CATCH_UP)
    assert done == [0, *ahead, *later, 11, 12], "tick 1 was skipped at a time when it was due"
    year = round(365 * 86_400 / PERIOD)
    clock.at += year * PERIOD
    assert all_done(store) == CATCH_UP + 1
    clock.at -= year * PERIOD
    assert all_done(store) == 1, "the ticks before are forgotten, so it begins anew"
    clock.at += PERIOD
    assert all_done(store) == 1


def test_old_ticks_are_forgotten_but_never_the_newest(configure: Callable[..., Settings], clock: Clock) -> None:
    """Otherwise the next message would find no tick, and do the newest once more."""
    config = configure(tick_seconds=PERIOD).model_copy(update={"retention": 0.001})  # which no setting may be
    store = Store(config)
    store.create()
    for _ in range(3):
        assert [store.tick(), store.tick()] == [True, False]
        assert len(told(config)) == 1
        clock.at += PERIOD


def test_another_period_begins_after_the_last_tick(store: Store, config: Settings, clock: Clock) -> None:
    """The rows are times, so that a change of the period neither repeats ticks nor misses a million of them."""
    assert all_done(store) == 1
    faster = Store(config.model_copy(update={"tick_seconds": PERIOD / 2}))
    clock.at += PERIOD
    assert all_done(faster) == 2


def test_of_many_beats_one_ticks(store: Store, config: Settings, clock: Clock) -> None:
    """Each thread does what is due; together they do each tick once, in order."""
    all_done(store)
    clock.at += CATCH_UP * PERIOD
    together = threading.Barrier(4)

    def tick(_number: int) -> int:
        together.wait()
        return all_done(store)

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(tick, range(4))) == CATCH_UP
    assert effects(config) == list(range(CATCH_UP + 1))


def test_a_tick_that_another_process_has_just_done_is_left_alone(
    store: Store, config: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL: both have read the same newest tick, and the second has waited for the commit of the first."""
    monkeypatch.setattr(ticks_module, "due_ticks", lambda *_: [START])
    assert [store.tick(), store.tick()] == [True, False]
    assert effects(config) == [0]


def test_the_periodic_task_does_all_that_is_due(config: Settings, clock: Clock) -> None:
    celery = make_celery(config)
    celery.conf.task_always_eager = True
    tick = celery.tasks["system.tick"]
    assert [tick.apply_async().result for _ in range(2)] == [1, 0]
    clock.at += 2 * PERIOD
    assert tick.apply_async().result == 2


@example(last=0.0, later=51.9, period=0.1, kept=0.0)  # 519 * 0.1 > 51.9
@given(st.floats(0, 1e6), st.floats(0, 1e4), st.sampled_from([0.1, 0.5, 7.0, 60.0]), st.floats(0, 1e4))
def test_the_ticks_between_two_looks(last: float, later: float, period: float, kept: float) -> None:
    """None twice, none left out, whatever the times are."""
    at = last + later
    ticks = due_ticks(last, at, period, at - kept)
    assert ticks == sorted(set(ticks))
    assert all(max(last, at - kept - period) < tick <= at for tick in ticks)
    again = due_ticks(ticks[-1], at, period, at - kept) if ticks else []
    assert again == [], "the last tick is not due again"
    half = ticks[len(ticks) // 2 :]
    assert half == [] or due_ticks(half[0], at, period, at - kept) == half[1:]
