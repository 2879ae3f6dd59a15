"""The periodic task, when the broker is away and when beat dies."""

from dataclasses import replace
from itertools import pairwise

import pytest

from brownout import Fault, Lab, after, effect, event, kill, post, refuse, terminate
from tests.chaos.promises import jobs_end_once

pytestmark = pytest.mark.chaos
PERIOD = 1.0  # the drain ends in the pause between two ticks
MISSED = 3  # periods that the outage lasts at least
ENV = {"SYSTEM_TICK_SECONDS": str(PERIOD), "SYSTEM_TICK_CATCH_UP": "1000"}  # however long beat needs to come back


@pytest.mark.parametrize(
    ("fault", "target"),
    [
        pytest.param(kill(), "beat", marks=pytest.mark.launch("cold")),
        (refuse(), "beat->broker"),
        (terminate(), "broker"),
    ],
    ids=["beat-killed", "beat-refused", "broker-stopped"],
)
def test_each_tick_is_done_once_in_order(lab: Lab, fault: Fault, target: str) -> None:
    """Whatever happens to beat and to the broker: a message after the outage makes up for those that were not sent."""
    lab.topology(beat=True, env=ENV)
    # The worker has time between two jobs: a message that waits for longer than its period expires.
    jobs = post("/process-data", json={"n": "{n}"}, every="500ms", count=8)
    # However long beat needs to come back, a last job waits until ticks have been done after the outage.
    lab.load(jobs, replace(jobs, count=1).on(effect(nth=MISSED + 3, name="system.tick")))
    lab.inject(fault, on=target, when=event("started", name="system.tick"), heal=after(MISSED * PERIOD))
    lab.promise(*jobs_end_once(besides=("system.tick",)))
    outcome = lab.run()
    outcome.must_hold()
    history = outcome.result.history
    done = [each for each in history.kind("effect") if each.data["name"] == "system.tick"]
    times = [float(str(each.task).partition("@")[2]) for each in done]
    assert times == [times[0] + number * PERIOD for number in range(len(times))], "none missing, none twice, in order"
    # A message that finds no tick due is none of beat's mistakes, so the messages are not just counted.
    messages = [each.at for each in history.kind("started") if each.data["name"] == "system.tick"]
    pairs = pairwise(each.at for each in done)
    together = [(one, next_) for one, next_ in pairs if not any(one < at < next_ for at in messages)]
    # A beat that is killed may be back before the next tick is due; the other outages last for MISSED periods.
    assert together or target == "beat", "one message did several ticks"
