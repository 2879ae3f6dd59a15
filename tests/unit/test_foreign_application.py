"""An application that stores no result, and a task that takes long: what a map's trial does differently."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from brownout.explore import session
from brownout.explore.bounds import Bounds
from brownout.explore.plans import operation_of, plan_of, warm_of
from brownout.history.view import History
from brownout.plan.operation import Call
from brownout.plan.settle import Settle
from brownout.probes.recorder import Recorder
from brownout.run import evidence_trial
from brownout.run.evidence_trial import EvidenceTrial
from brownout.run.phases import stored
from brownout.subject.application import Application, Surface
from brownout.workload.client import CallingClient

TOOK = 9.0  # seconds that the task takes without a fault


# --- ignored results


@pytest.mark.parametrize(
    ("ignores", "backend", "results"),
    [((), True, True), (("shop.add",), True, False), (("shop.other",), True, True), ((), False, False)],
)
def test_who_stores_no_result_is_asked_for_none(
    monkeypatch: pytest.MonkeyPatch, ignores: tuple[str, ...], backend: bool, results: bool
) -> None:
    env = {"CELERY_BROKER_URL": "{broker}"} | ({"CELERY_RESULT_BACKEND": "{backend}"} if backend else {})
    told = Surface(("shop.add",), (), {"shop.add": None}, ignores=ignores)
    monkeypatch.setattr(session, "surface", lambda *_: told)
    monkeypatch.setattr(session, "wired", lambda application, *_: application)
    made = session.experiment(Path(), application=Application(celery="shop", env=env), task="shop.add")
    assert made.results is results
    for operation in (operation_of(made), warm_of(made), plan_of(made, Bounds.of({})).load[0].operation):
        assert isinstance(operation, Call)
        assert operation.result is results


@pytest.mark.parametrize("result", [True, False])
def test_a_client_neither_waits_for_a_result_that_is_not_stored_nor_says_so(tmp_path: Path, result: bool) -> None:
    orders: list[dict[str, Any]] = []

    def ask(order: dict[str, Any]) -> list[dict[str, Any]]:
        orders.append(order)
        return [{"event": "accepted", "at": 1, "tasks": ["t"]}]

    caller: Any = SimpleNamespace(ask=ask)
    recorder = Recorder(tmp_path / "history.ndjson", "client")
    CallingClient(caller, recorder, 5.0).call(Call("shop.add", result=result), "op-1", 1, 0)
    recorder.close()
    assert [order["result"] for order in orders] == [result]
    (invoke,) = History.load(tmp_path / "history.ndjson").kind("invoke")
    assert invoke.data.get("result", True) is result


@pytest.mark.parametrize(("data", "states"), [({}, [stored.NOTHING]), ({"result": False}, ["SUCCESS"])], ids=str)
def test_nothing_is_looked_up_where_no_result_is_stored(data: dict[str, Any], states: list[str]) -> None:
    life: Any = SimpleNamespace(tasks=[], invoke=SimpleNamespace(task=None, data=data))
    subject: Any = SimpleNamespace(layout=None)
    nobody: Any = None
    assert stored.states(Call("shop.add"), life, subject, nobody, nobody) == states


# --- a task that takes long


def test_every_limit_of_a_trial_grows_by_what_the_task_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The warm-up is measured; the limits of the trial's end then leave as much time for the operation."""
    given: list[Settle] = []
    monkeypatch.setattr(evidence_trial, "Steady", lambda *_: SimpleNamespace(reach=lambda *_, **__: None, took=TOOK))
    monkeypatch.setattr(evidence_trial, "Settling", lambda settle, *_, **__: given.append(settle))
    trial: Any = EvidenceTrial.__new__(EvidenceTrial)
    settle = Settle(Call("shop.add"), held=2, probe=3, result=4, recover=5, republished=6, limit=7, still=8)
    held: list[float] = []
    calls = SimpleNamespace(look=held.append)
    plan = SimpleNamespace(injections=())
    trial.__dict__ |= {
        **{"_plan": plan, "_settle": settle, "_operation": settle.warm, "conductor_calls": calls},
        **dict.fromkeys(("_observer", "_setting", "fair", "life", "_workers")),
        "_layout": SimpleNamespace(queues=("celery",)),
    }
    trial.steady(SimpleNamespace(), SimpleNamespace(tell_unread=lambda: None))
    trial.settling(SimpleNamespace(active=False))
    trial._on_wire()
    assert given == [settle.patient(TOOK)]
    assert given[0].limit > settle.limit + TOOK
    assert held == [settle.held + TOOK], "a request that is held for so long is no change"
