"""Beat as a process: each period's work is done once, by however many beats it is asked for."""

import time

import pytest

from brownout.subject.waiting import eventually
from tests.integration.running import SLACK, NewSystem, Running

SLOTS = 3
MISSED, CAUGHT_UP = 8, 2


def test_two_beats_are_as_good_as_one(calm: Running) -> None:
    def slots() -> list[float]:
        return [float(key.partition("@")[2]) for key in calm.effects() if key.startswith("tick@")]

    def counted() -> bool:
        done, asked = len(slots()), [calm.said(name, "Sending due task tick") for name in names]
        return min(asked) > SLOTS <= done and calm.said("worker-1", "Task system.tick[") > 2 * done

    names = ("beat-1", "beat-2")
    for name in names:
        schedule = str(calm.folder / name)
        calm.start(name, ["celery", "-A", "system.worker", "beat", "--loglevel", "INFO", "-s", schedule])
    try:
        eventually(
            counted,
            within=SLOTS * calm.settings.tick_seconds + 2 * SLACK,
            what="both beats send, and ticks are received and done more often than they count",
            evidence=calm.process("beat-1").tail,
        )
    finally:
        for name in names:
            calm.end(name)
    sent = sum(calm.said(name, "Sending due task tick") for name in names)
    ticks = slots()
    assert all(count == 1 for key, count in calm.effects().items() if key.startswith("tick@")), calm.effects()
    assert SLOTS <= len(ticks) < sent, "once for each period, though each beat asked for it"
    period = calm.settings.tick_seconds
    assert sorted(ticks) == [min(ticks) + number * period for number in range(len(ticks))], "no period is left out"
    assert calm.http.get("/stats").json()["effects"] >= len(ticks)


def test_ticks_that_were_missed_for_too_long_are_skipped(new_system: NewSystem) -> None:
    """Two messages, as a beat sends them that was away between them: the second one makes up for the newest ticks."""
    system = new_system("skipping", tick_seconds=0.3, tick_catch_up=CAUGHT_UP).worker("worker-1", "-c", "1").ready()
    period = system.settings.tick_seconds

    def ticks() -> list[tuple[float, bool]]:
        return [(due, bool(skipped)) for due, skipped in system.rows("select due, skipped from ticks order by due")]

    def send() -> None:
        system.app.tasks["system.tick"].apply_async(ignore_result=True)

    system.app.store.create()  # a worker makes the tables at its first task
    send()
    # On a slow machine the first message does the next tick, too.
    eventually(lambda: system.said("worker-1", " succeeded in ") == 1, within=SLACK, what="the first message is done")
    known = ticks()
    eventually(lambda: time.time() > known[-1][0] + MISSED * period, within=SLACK, what="ticks are missed")
    send()
    eventually(lambda: system.said("worker-1", " succeeded in ") == 2, within=SLACK, what="the second message is done")
    times = [due for due, _ in ticks()]
    assert times == [pytest.approx(times[0] + number * period) for number in range(len(times))], "no tick is left out"
    skipped = [was_skipped for _, was_skipped in ticks()[len(known) :]]
    assert sum(skipped) >= MISSED - CAUGHT_UP - 1, "the older ones are skipped"
    assert skipped == [True] * sum(skipped) + [False] * (len(skipped) - sum(skipped)), "the newest are done"
    assert system.effects() == {f"tick@{due}": 1 for due, was_skipped in ticks() if not was_skipped}
