"""Times, chance, intended times and triggers."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brownout.faults import stop
from brownout.history.event import Event
from brownout.plan.duration import Duration, seconds, text
from brownout.plan.operation import Load, get
from brownout.plan.plan import Injection
from brownout.plan.seed import fresh_seed, stream
from brownout.plan.topology import Topology
from brownout.plan.trigger import Count, after, at, effect, event, received, started
from tests.unit.check_specimens import healthy


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("100ms", 0.1),
        ("2s", 2.0),
        ("1.5 m", 90.0),
        ("20us", 2e-5),
        (" 1h ", 3600.0),
        (3, 3.0),
        (0.25, 0.25),
        ("0s", 0.0),
    ],
)
def test_times_are_read(written: Duration, means: float) -> None:
    assert seconds(written) == pytest.approx(means, rel=1e-12)


@pytest.mark.parametrize(
    "written", ["", "10", "-1s", "1 second", "ms", -1, float("nan"), float("inf"), True, None, "1s2s"]
)
def test_what_is_no_time_is_refused(written: Duration) -> None:
    with pytest.raises(ValueError, match="time"):
        seconds(written)


@given(st.integers(0, 10**7))
def test_times_are_written_as_they_are_read(ms: int) -> None:
    assert seconds(text(ms / 1000)) == pytest.approx(ms / 1000, rel=1e-5)


@given(st.integers(0, 2**64 - 1))
def test_streams_repeat_and_differ(seed: int) -> None:
    names = [("wire", "api->broker"), ("wire", "worker->broker"), ("load",), ("wireapi->broker",)]
    first, again = ([stream(seed, *name).random() for name in names] for _ in range(2))
    assert first == again
    assert len(set(first)) == len(names)


def test_a_seed_has_64_bits() -> None:
    assert stream(1, "a").random() != stream(2, "a").random()
    assert 0 <= fresh_seed() < 2**64
    with pytest.raises(ValueError, match="64 bits"):
        stream(2**64, "a")


def test_intended_times() -> None:
    none = random.Random(0)
    assert list(get("/x", every="100ms", count=3).times(none)) == pytest.approx([0, 0.1, 0.2])
    load = get("/x", every="100ms").until("250ms")
    assert list(load.times(none)) == pytest.approx([0, 0.1, 0.2])
    assert load.until("9s") is load
    assert len(list(Load(load.operation, 1, begin=5, lasting=3).times(none))) == 3
    endless = get("/x", every="1ms").times(none)
    assert list(itertools.islice(endless, 20000))[-1] == 19_999 * 0.001  # no drift


def test_poisson_keeps_its_mean_and_its_seed() -> None:
    load = Load(get("/x", every=1, count=1).operation, 0.1, count=2000, spread="poisson")
    first, again = (list(load.times(stream(5, "load"))) for _ in range(2))
    assert first == again
    assert 180 < first[-1] < 220
    with pytest.raises(ValueError, match="poisson"):
        Load(load.operation, 1, spread="random")


def test_a_trigger_fires_once_on_the_nth_match() -> None:
    history = healthy()
    count = Count(started(nth=5))
    fired = [e for e in history if count.see(e)]
    assert fired == [history.kind("started")[4]]
    assert count.matched == len(history.kind("started"))


def test_a_trigger_may_ask_for_a_source_and_for_data() -> None:
    history = healthy()
    count = Count(received(nth=1, source="worker-2", redelivered=True))
    assert [e.source for e in history if count.see(e)] == ["worker-2"]
    assert not event("started", "worker").matches(Event(1, "workers", "started"))
    assert Count(effect(nth=2, name="processed")).trigger.data == {"name": "processed"}


def test_one_that_never_fired_lists_what_came() -> None:
    count = Count(event("revoked", "worker"))
    assert str(count).endswith("seen: none")
    assert [e for e in healthy() if count.see(e)] == []
    assert str(count).startswith("waited for worker revoked #1; 0 matching events came; events seen: api ready x1, ")
    assert "worker-2 started x37" in str(count)


def test_triggers_read_as_words() -> None:
    assert [str(t) for t in (at("1s"), after("3s"), started(5, name="a"), event("ok", delay="20ms"))] == [
        *("1s", "3s", "worker started name=a #5", "any ok #1 +20ms"),
    ]


def test_a_fault_begins_at_a_time_and_heals_after_a_time() -> None:
    """Both are a time by the clock, counted from different begins: one in the place of the other is a mistake."""
    assert at("1s") != after("1s")
    topology = Topology()
    Injection(stop(), "worker-1", at("1s"), after("2s")).check(topology)
    with pytest.raises(ValueError, match=r'after\("1s"\) counts .* only heal= takes it; write when=at\("1s"\)'):
        Injection(stop(), "worker-1", after("1s")).check(topology)
    with pytest.raises(ValueError, match=r'at\("2s"\) counts .* only when= takes it; write heal=after\("2s"\)'):
        Injection(stop(), "worker-1", started(), at("2s")).check(topology)
