"""The limits of a trial follow from how long the operation takes by itself."""

from brownout.plan.operation import Call
from brownout.plan.settle import LITTLE, Settle

SETTLE = Settle(Call("work"), held=2, probe=3, result=4, recover=5, republished=6, limit=7, still=8)


def test_a_long_task_gets_longer_limits() -> None:
    patient = SETTLE.patient(10)
    assert (patient.held, patient.probe, patient.result, patient.still, patient.limit) == (12, 13, 14, 18, 47)
    assert (patient.recover, patient.republished) == (5, 6), "these are the broker's and the application's own"


def test_a_short_task_changes_nothing() -> None:
    assert SETTLE.patient(LITTLE) is SETTLE
