"""When the machine is too busy for what is measured in time to mean anything."""

from contextlib import closing
from pathlib import Path

from brownout.history.event import Event
from brownout.history.recorder import Recorder
from brownout.history.view import History
from brownout.run.watch import DEBT, FORGIVEN, LATE, STALL, TICK, Lateness, Starvation


def seen(late: float, times: int) -> list[str]:
    lateness = Lateness()
    return [lateness.kind(late, TICK + late) for _ in range(times)]


def test_a_quiet_machine_says_nothing() -> None:
    assert set(seen(0.0005, 10_000)) == {""}


def test_one_long_pause_is_a_stall_and_a_short_one_is_told() -> None:
    assert seen(STALL * 1.01, 1) == ["machine-stalled"]
    assert seen(LATE * 1.01, 1) == ["machine-late"]
    assert seen(LATE * 0.99, 1) == [""]


def test_a_little_all_the_time_is_a_stall_too() -> None:
    late = 2 * FORGIVEN * TICK / (1 - FORGIVEN)
    found = seen(late, 2 * int(DEBT / (FORGIVEN * TICK)))
    assert "machine-stalled" in found
    assert set(seen(late / 3, len(found))) == {""}


def test_what_is_long_ago_is_forgotten() -> None:
    lateness = Lateness()
    assert lateness.kind(DEBT * 0.9, DEBT) == "machine-late"
    for _ in range(int(DEBT / FORGIVEN / TICK)):
        assert lateness.kind(0.0, TICK) == ""
    assert lateness.kind(DEBT * 0.9, DEBT) == "machine-late"


def test_a_loop_that_waits_for_a_cpu_again_and_again_tells_of_the_machine(tmp_path: Path) -> None:
    """As the API's did beside another test suite: each wait is short, and together they make every request late."""

    def stalled(*waits: tuple[int, float], sources: tuple[str, ...] = ("api",)) -> int:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.ndjson"
        with closing(Recorder(path, "run")) as recorder:
            starvation = Starvation(recorder)
            for n, (at, ms) in enumerate(waits):
                source = sources[n % len(sources)]
                starvation.see([Event(at * 10**6, source, "starved", data={"ms": ms}), Event(0, "api", "ready")])
        return sum(event.kind == "machine-stalled" for event in History.load(path))

    often = [(40 * n, 30.0) for n in range(20)]
    assert stalled(*often) == 1
    assert stalled(*often, sources=("api", "api-2")) == 0, "each loop for itself"
    assert stalled(*[(1000 * n, 30.0) for n in range(20)]) == 0, "it has recovered each time"
