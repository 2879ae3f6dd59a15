"""The Celery application: each setting that differs from Celery's default is in force, and pickle is refused."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from celery.app.defaults import DEFAULTS
from kombu.exceptions import ContentDisallowed
from kombu.serialization import loads, prepare_accept_content

from system import celery_app
from system.celery_app import App, make_celery
from system.settings import Settings
from tests.unit.conftest import Broker

# What the system needs, whatever the code says: without any of these, see the comment in system/celery_app.py.
EFFECTIVE: dict[str, Any] = {
    "broker_url": "redis://b:1/0",
    "result_backend": "redis://r:1/1",
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "broker_channel_error_retry": True,
    "broker_connection_max_retries": None,
    "broker_transport_options": {
        "socket_timeout": 3.0,
        "socket_connect_timeout": 3.0,
        "socket_keepalive": True,
        "visibility_timeout": 77,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 6,
        "health_check_interval": 3,
    },
    "result_backend_always_retry": True,
    "result_backend_max_retries": 3,
    "redis_socket_timeout": 3.0,
    "redis_socket_connect_timeout": 3.0,
    "redis_backend_health_check_interval": 3,
    "result_backend_transport_options": {"retry_policy": {"timeout": 3.0}},
    "task_time_limit": 30.0,
    "task_soft_time_limit": 25.0,
    "beat_max_loop_interval": 4.0,
    "accept_content": ["json"],
    "result_accept_content": ["json"],
}
STRUCTURED = {"task_queues", "task_routes", "beat_schedule"}


@pytest.fixture
def celery(configure: Callable[..., Settings]) -> App:
    """An application with settings unlike the defaults."""
    return make_celery(
        configure(
            broker_url="redis://b:1/0",
            result_url="redis://r:1/1",
            broker_timeout=3,
            visibility_timeout=77,
            tick_seconds=4,
        )
    )


@pytest.mark.parametrize("name", EFFECTIVE)
def test_a_setting_is_in_force(celery: App, name: str) -> None:
    assert celery.conf[name] == EFFECTIVE[name]


def test_no_setting_is_left_out_of_this_table(config: Settings) -> None:
    assert EFFECTIVE.keys() | STRUCTURED == celery_app.configuration(config).keys()


def test_every_setting_differs_from_celerys_default(config: Settings) -> None:
    configuration = celery_app.configuration(config)
    assert configuration.keys() - DEFAULTS.keys() <= {"redis_backend_health_check_interval"}  # Celery lists no default
    assert [name for name, value in configuration.items() if DEFAULTS.get(name) == value] == []


def test_the_backends_limits_reach_the_client(celery: App) -> None:
    backend: Any = celery.backend
    assert backend.always_retry
    assert backend.max_retries == 3
    assert backend.connparams["socket_timeout"] == backend.connparams["socket_connect_timeout"] == 3.0
    assert backend.connparams["health_check_interval"] == 3
    assert backend.retry_policy["timeout"] == 3.0


def test_processor_bound_work_has_a_queue_of_its_own(celery: App, broker: Broker) -> None:
    assert set(celery.amqp.queues) == {"celery", "cpu"}
    broker.serve(celery)
    celery.tasks["system.fibonacci"].apply_async((1,), ignore_result=True)
    celery.tasks["system.divide"].apply_async((1, 2), ignore_result=True)
    assert [queue for queue, _ in broker.sent] == ["cpu", "celery"]


def test_beats_schedule_is_skipped_when_late(celery: App) -> None:
    (entry,) = celery.conf.beat_schedule.values()
    assert entry["task"] in celery.tasks
    assert entry["schedule"] == entry["options"]["expires"] == 4.0


def test_pickle_is_refused(celery: App) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return pytest.fail, ("the pickle was loaded",)

    accept = prepare_accept_content(celery.conf.accept_content)
    with pytest.raises(ContentDisallowed):
        loads(pickle.dumps(Evil()), "application/x-python-serialize", "binary", accept=accept)


def test_the_store_is_opened_once_and_on_first_use(celery: App) -> None:
    assert not celery.settings.database.exists()
    assert celery.store is celery.store
    assert celery.settings.database.exists()
