"""How toxics act, by the semantics of Toxiproxy's source, with time and draws given."""

from itertools import pairwise
from math import inf
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brownout.wire.tcp.shapes import SHAPES, Shape


def shape(kind: str, seed: int = 1, now: float = 10.0, shared: dict[str, int] | None = None, **values: int) -> Any:
    return SHAPES[kind](values, Random(seed), now, {} if shared is None else shared)


KEEPING: dict[str, Any] = {
    "noop": {},
    "latency": {"latency": 20, "jitter": 20},
    "bandwidth": {"rate": 3},
    "slow_close": {"delay": 9},
    "slicer": {"average_size": 7, "size_variation": 5, "delay": 100},
    "blackhole": {},
    "spike": {"latency": 3, "spike": 100, "nth": 2},
    "rst": {"timeout": 3},
}


@pytest.mark.parametrize("kind", KEEPING)
@given(st.lists(st.binary(min_size=1, max_size=2000), max_size=5), st.integers())
def test_no_byte_is_changed_lost_or_moved(kind: str, chunks: list[bytes], seed: int) -> None:
    one: Shape = shape(kind, seed, **KEEPING[kind])
    pieces = [piece for chunk in chunks for piece in one.feed(chunk, 11.0, 11.0)]
    assert b"".join(data for _, data in pieces) == b"".join(chunks)
    assert all(due >= 11.0 and data for due, data in pieces)


def test_latency_counts_from_the_arrival_and_draws_within_its_jitter() -> None:
    assert shape("latency", latency=100, jitter=0).feed(b"x", 10.02, 10.0) == [(pytest.approx(10.1), b"x")]
    jittery = shape("latency", latency=100, jitter=30)
    late = {round((jittery.feed(b"x", 10.0, 10.0)[0][0] - 10) * 1000) for _ in range(2000)}
    assert (min(late), max(late)) == (70, 129)  # Int63n(2j) - j


def test_a_jitter_above_the_latency_never_sends_into_the_past() -> None:
    jittery = shape("latency", latency=1, jitter=50)
    assert min(jittery.feed(b"x", 10.0, 10.0)[0][0] for _ in range(200)) == 10.0


def test_bandwidth_sends_every_100_ms_and_pays_for_the_time_before() -> None:
    slow = shape("bandwidth", rate=10)  # 10 bytes a ms
    assert slow.feed(b"a" * 2500, 10.0, 10.0) == [
        (pytest.approx(10.1), b"a" * 1000),
        (pytest.approx(10.2), b"a" * 1000),
        (pytest.approx(10.25), b"a" * 500),
    ]
    assert slow.feed(b"b" * 100, 10.0, 10.0) == [(pytest.approx(10.26), b"b" * 100)]
    assert slow.feed(b"c" * 100, 12.0, 12.0) == [(pytest.approx(12.01), b"c" * 100)]
    assert shape("bandwidth", rate=0).feed(b"x", 10.0, 10.0) == [(inf, b"x")]


def test_a_timeout_starts_again_with_each_chunk_it_drops() -> None:
    quiet = shape("timeout", timeout=500)
    assert quiet.deadline == 10.5
    assert quiet.feed(b"x", 10.4, 10.4) == []
    assert quiet.deadline == pytest.approx(10.9)
    assert shape("timeout", timeout=0).deadline == inf
    assert quiet.leaving == "close"


def test_reset_peer_waits_for_a_byte_or_the_end() -> None:
    fuse = shape("reset_peer", timeout=100)
    assert fuse.deadline == inf
    assert fuse.feed(b"x", 11.0, 11.0) == []
    assert fuse.deadline == pytest.approx(11.1)
    fuse.feed(b"y", 11.05, 11.05)
    assert fuse.deadline == pytest.approx(11.1)
    ended = shape("reset_peer", timeout=0)
    assert ended.end(12.0) == inf
    assert ended.deadline == 12.0


@pytest.mark.parametrize(
    ("limit", "chunks", "out", "closed"),
    [
        (5, [b"abc", b"defg"], b"abcde", True),
        (5, [b"abc", b"de"], b"abcde", True),
        (5, [b"abc", b"d"], b"abcd", False),
        (0, [b"abc"], b"", True),
    ],
)
def test_limit_data_closes_with_the_byte_that_reaches_it(
    limit: int, chunks: list[bytes], out: bytes, closed: bool
) -> None:
    one = shape("limit_data", bytes=limit)
    assert b"".join(data for chunk in chunks for _, data in one.feed(chunk, 10.0, 10.0)) == out
    assert (one.deadline == 10.0) is closed


def test_limit_data_remembers_when_it_is_updated() -> None:
    old = shape("limit_data", bytes=100)
    old.feed(b"x" * 60, 10.0, 10.0)
    new = shape("limit_data", bytes=70)
    new.inherit(old)
    assert new.feed(b"y" * 60, 10.0, 10.0) == [(10.0, b"y" * 10)]


@given(st.integers(1, 5000), st.integers(0, 200), st.integers(0, 300), st.integers())
def test_slices_are_near_the_wanted_size(size: int, average: int, vary: int, seed: int) -> None:
    cuts = [0, *shape("slicer", seed, average_size=average, size_variation=vary, delay=0).cuts(0, size), size]
    lengths = [b - a for a, b in pairwise(cuts)]
    assert all(0 < length <= max(1, average) + vary for length in lengths)


@pytest.mark.parametrize("delay", [1, 1000])
def test_slices_are_paced_and_the_end_comes_after_them(delay: int) -> None:
    """By a millisecond at least: Toxiproxy's timers are no finer."""
    one = shape("slicer", average_size=2, size_variation=0, delay=delay)
    assert [due for due, _ in one.feed(b"abcd", 10.0, 10.0)] == [10.0, pytest.approx(10.001)]
    assert one.end(10.0) == pytest.approx(10.002)


def test_one_spike_for_a_whole_edge() -> None:
    shared: dict[str, int] = {}
    a, b = (shape("spike", shared=shared, latency=10, spike=500, nth=2) for _ in "ab")
    late = [round((one.feed(b"x", 10.0, 10.0)[0][0] - 10) * 1000) for one in (a, b, a, b)]
    assert late == [10, 510, 10, 10]


def test_silence_of_three_kinds() -> None:
    assert shape("blackhole").feed(b"x", 10.0, 10.0) == [(inf, b"x")]
    assert shape("swallow").feed(b"x", 10.0, 10.0) == []
    assert [shape(kind).leaving for kind in ("blackhole", "swallow", "half_open")] == ["flush", "flush", "reset"]
    assert shape("half_open").old_only
    assert all(shape(kind).end(10.0) == inf for kind in ("blackhole", "swallow", "half_open"))


def test_one_seed_gives_the_same_draws() -> None:
    def draws(seed: int) -> list[float]:
        one = shape("latency", seed, latency=100, jitter=100)
        return [one.feed(b"x", 10.0, 10.0)[0][0] for _ in range(20)]

    assert draws(1) == draws(1) != draws(2)
