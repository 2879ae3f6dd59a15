"""The periodic task, when the broker is away and when beat dies."""

from dataclasses import replace

import pytest

from brownout import Fault, Lab, after, effect, event, kill, post, refuse
from tests.chaos.promises import jobs_end_once

pytestmark = pytest.mark.chaos
ENV = {"SYSTEM_TICK_SECONDS": "0.5"}


@pytest.mark.parametrize(
    ("fault", "target"),
    [pytest.param(kill(), "beat", marks=pytest.mark.launch("cold")), (refuse(), "beat->broker")],
    ids=["killed", "refused"],
)
def test_each_period_is_worked_off_at_most_once(lab: Lab, fault: Fault, target: str) -> None:
    """Whatever happens to beat, no period's work is done twice, and jobs are not disturbed."""
    lab.topology(beat=True, env=ENV)
    # The worker has time between two jobs: a tick that waits for longer than its period expires.
    jobs = post("/process-data", json={"n": "{n}"}, every="400ms", count=8)
    # However long beat needs to come back, a last job waits until a second period has been worked off.
    lab.load(jobs, replace(jobs, count=1).on(effect(nth=2, name="system.tick")))
    lab.inject(fault, on=target, when=event("started", name="system.tick"), heal=after("1s"))
    lab.promise(*jobs_end_once(besides=("system.tick",)))
    outcome = lab.run()
    outcome.must_hold()
    ticks = [event.task for event in outcome.result.history.kind("effect") if event.data["name"] == "system.tick"]
    assert len(ticks) == len(set(ticks)) >= 2
