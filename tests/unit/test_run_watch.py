"""When the machine is too busy for what is measured in time to mean anything."""

from brownout.run.watch import DEBT, FORGIVEN, LATE, STALL, TICK, Lateness


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
