"""How long the API's loop stood still: what is sure, what is in doubt, and what does not count."""

import pytest

from brownout.explore.stalls import Stalls
from brownout.history.event import Event

MS = 1_000_000
API = 7


def seen(*events: Event, ready: int = 1_000) -> Stalls:
    """After an API that was ready at `ready` ms."""
    stalls = Stalls()
    for event in (Event(ready * MS, "api", "ready", pid=API), *events):
        stalls.see(event)
    return stalls


def stall(ms: float, starved: float = 0.0, *, end: int = 5_000, pid: int = API, ongoing: bool = False) -> Event:
    """A stall that ends at `end` ms."""
    data = {"ms": ms, "starved_ms": starved, "ongoing": ongoing}
    return Event(end * MS, "api", "stall", pid=pid, data=data)


@pytest.mark.parametrize(
    ("ms", "starved", "sure", "doubt"),
    [
        (249.0, 0.0, False, ""),
        (250.0, 0.0, True, ""),
        (900.0, 600.0, True, ""),
        (310.0, 180.0, False,
         "the API's loop may have stood still for 310 ms, 180 ms of them without a CPU; the limit is 250 ms"),
    ],
)  # fmt: skip
def test_time_without_a_cpu_is_in_doubt(ms: float, starved: float, sure: bool, doubt: str) -> None:
    stalls = seen(stall(ms, starved))
    assert (stalls.sure, stalls.doubt) == (sure, doubt)


def test_a_sure_stall_leaves_no_doubt() -> None:
    stalls = seen(stall(310, 180, end=3_000), stall(400, end=5_000))
    assert (stalls.sure, stalls.doubt) == (True, "")


def test_a_stall_that_goes_on_is_one() -> None:
    """It is told after 1 s, 2 s and at its end; what is said last is known best."""
    parts = [stall(1_000, 760, end=3_000, ongoing=True), stall(2_000, 1_760, end=4_000, ongoing=True)]
    stalls = seen(*parts, stall(2_400, 2_000, end=4_401))
    assert stalls.sure
    assert len(stalls._stalls) == 1
    assert len(seen(stall(300, end=3_000), stall(300, end=4_000))._stalls) == 2


def test_what_comes_before_the_api_is_ready_does_not_count() -> None:
    assert not seen(stall(900, end=900), ready=1_000).sure, "it serves nobody yet"
    assert not seen(stall(900, pid=API + 1)).sure, "a new process that is not ready"
    assert not seen(stall(900, end=1_100), ready=1_000).sure, "100 ms of it came later"
    assert seen(stall(900, end=1_300), ready=1_000).sure
