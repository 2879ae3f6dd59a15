"""Beat as a process: each period's work is done once, by however many beats it is asked for."""

from brownout.subject.waiting import eventually
from tests.integration.running import SLACK, Running

SLOTS = 3


def test_two_beats_are_as_good_as_one(calm: Running) -> None:
    def slots() -> list[int]:
        return [int(key.partition("@")[2]) for key in calm.effects() if key.startswith("tick@")]

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
    assert calm.http.get("/stats").json()["effects"] >= len(ticks)
