"""How long is waited for what, from several configurations."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brownout.explore.bounds import LEAST, MARGIN, NOTICED, Bounds
from brownout.explore.experiment import HARDENED

CELERY = {"redis_socket_timeout": 120.0}  # its default, celery.app.defaults


def of(transport: dict[str, Any] | None = None, recovery: float = 0.0, **conf: Any) -> Bounds:
    return Bounds.of({"broker_transport_options": transport or {}, **CELERY, **conf}, recovery)


def test_by_default_no_time_out_ends_within_the_wait() -> None:
    bounds = of()
    assert (bounds.held, bounds.recover, bounds.republished) == (LEAST, 0.0, 0.0)
    assert bounds.beyond == {"redis_socket_timeout": 120.0, "stale BRPOP": 51.0, "visibility_timeout": 3600.0}
    assert Bounds.of({}) == Bounds.of({"broker_transport_options": None, "result_backend_transport_options": None})


def test_the_usual_hardening_is_waited_for() -> None:
    bounds = Bounds.of(HARDENED.settings)
    assert bounds.held == 3.5  # a stale BRPOP is found after 1 + 2 x 1 s
    assert bounds.recover == 2 + 2 * 1 * 1 + 1  # visibility, and two sweeps
    assert bounds.beyond == {}
    assert bounds.result == bounds.probe + bounds.recover
    assert bounds.limit > bounds.held + bounds.probe + bounds.result


@pytest.mark.parametrize(
    ("conf", "held", "beyond"),
    [
        ({"transport": {"socket_timeout": 3}}, 3.5, {}),
        ({"transport": {"socket_timeout": 5.0}}, 5.5, {}),
        ({"transport": {"socket_timeout": 5.1}}, LEAST, {"socket_timeout": 5.1}),
        ({"transport": {"socket_timeout": 0.2}}, LEAST, {}),
        ({"transport": {"socket_timeout": None}}, LEAST, {}),
        ({"transport": {"socket_connect_timeout": 4}}, 4.5, {}),
        ({"redis_socket_timeout": 2.0}, 2.5, {}),
        ({"redis_socket_timeout": None}, LEAST, {}),
        ({"result_backend_transport_options": {"retry_policy": {"timeout": 4.0}}}, 4.5, {}),
        (
            {"result_backend_transport_options": {"retry_policy": {"timeout": 30}}},
            LEAST,
            {"retry_policy.timeout": 30.0},
        ),
        ({"transport": {"health_check_interval": 2}}, 5.5, {}),
        ({"transport": {"socket_timeout": 1.5, "health_check_interval": 10}}, 2.0, {"stale BRPOP": 21.0}),
    ],
)
def test_a_reply_is_kept_past_every_time_out_that_is_waited_for(
    conf: dict[str, Any], held: float, beyond: dict[str, float]
) -> None:
    bounds = of(**conf)
    usual = {"visibility_timeout": 3600.0}
    if "redis_socket_timeout" not in conf:
        usual["redis_socket_timeout"] = 120.0
    if not any("health" in key for key in conf.get("transport", {})):
        usual["stale BRPOP"] = 51.0
    assert (bounds.held, bounds.beyond) == (held, usual | beyond)
    assert bounds.probe == bounds.result == max(held, NOTICED) + MARGIN


@pytest.mark.parametrize(
    ("transport", "recover"),
    [
        ({"visibility_timeout": 2, "unacked_restore_interval": 1, "unacked_restore_throttle": 1}, 5.0),
        ({"visibility_timeout": 1, "unacked_restore_interval": 0.5, "unacked_restore_throttle": 2}, 4.0),
        ({"visibility_timeout": 2}, 0.0),  # the sweep comes each 100 s
        ({"visibility_timeout": 2, "unacked_restore_throttle": 1}, 0.0),  # each 10 s: two are too long
        ({"visibility_timeout": 60, "unacked_restore_interval": 1, "unacked_restore_throttle": 1}, 0.0),
    ],
)
def test_what_the_broker_gives_back_is_waited_for_if_that_is_soon(transport: dict[str, Any], recover: float) -> None:
    bounds = of(transport)
    assert bounds.recover == recover
    assert ("visibility_timeout" in bounds.beyond) is not bool(recover)


def test_what_the_application_brings_back_is_waited_for_as_long_as_it_says() -> None:
    assert of(recovery=8.0).republished == 8.0
    assert of(recovery=8.0).limit == of().limit + 8.0
    assert of(HARDENED.settings["broker_transport_options"], recovery=1.0).limit > 5.0


SECONDS = st.none() | st.floats(0.1, 100)


@settings(max_examples=50)
@given(SECONDS, SECONDS, SECONDS, SECONDS)
def test_each_time_out_is_either_waited_for_or_named(a: float, b: float, c: float, d: float) -> None:
    transport = {"socket_timeout": a, "socket_connect_timeout": b, "health_check_interval": c}
    bounds = of(transport, redis_socket_timeout=d)
    for name, value in {"socket_timeout": a, "socket_connect_timeout": b, "redis_socket_timeout": d}.items():
        assert value is None or bounds.beyond.get(name) == value or bounds.held > value
    assert all(value > NOTICED for value in bounds.beyond.values())
    assert NOTICED + 1 >= bounds.held >= LEAST
