"""The same run with a mistake planted in it finds the mistake: a loss of one message in a thousand, and two leaks."""

from collections.abc import Callable

import pytest

from brownout import Lab, at_least_once, get, must_show, nothing_leaks
from tests.soak.conftest import EVERY, SPARE, api_keeps_nothing
from tests.soak.mix import swallow

pytestmark = pytest.mark.chaos
LEAK_JOBS = 900


def planted(name: str) -> pytest.MarkDecorator:
    part = {"api": f"tests.soak.leaking:{name}()"}
    return pytest.mark.parametrize("application", [part], indirect=True, ids=[f"{name}-kept"])


def test_without_the_relay_one_lost_message_in_a_thousand_is_found(soak: Callable[..., Lab]) -> None:
    """With the relay these jobs are done: `test_mixed` loses as many. Other faults of the mix lose jobs here, too."""
    lab = soak(relay=False)
    lab.promise(at_least_once())
    outcome = lab.run()
    (verdict,) = (verdict for verdict in outcome.result.verdicts if verdict.promise == str(at_least_once()))
    assert verdict.validity == "invalid"
    lost = {anomaly.task for anomaly in verdict.anomalies if anomaly.kind == "lost"}
    acted = [event.data for event in outcome.result.history.kind("fault-acted")]
    swallowed = {event["evidence"].split()[-1] for event in acted if event["fault"] == str(swallow())}
    assert swallowed
    assert swallowed <= lost


@planted("connection")
def test_a_connection_for_each_job_is_found(soak: Callable[..., Lab]) -> None:
    lab = soak(LEAK_JOBS)
    lab.promise(must_show("leak", under=nothing_leaks(lasting="20s", of="api")))
    lab.run().must_hold()


@planted("result")
def test_a_result_for_each_request_is_found(soak: Callable[..., Lab]) -> None:
    lab = soak(LEAK_JOBS)
    lab.load(get("/health-check", every="5ms", lasting=LEAK_JOBS * EVERY * SPARE))
    lab.promise(must_show("leak", under=api_keeps_nothing()))
    lab.run().must_hold()
