"""Settings: from the environment, refused with the variable's name, and never with a secret in anything shown."""

import logging
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from system.factory import create_app
from system.job import Job, State
from system.publisher import Publisher, send
from system.settings import Settings
from tests.unit.conftest import Broker, answering

SECRET = "hunter2-hunter2"
URLS = ["broker_url", "result_url", "service_url"]
numbers = st.floats(min_value=0.001, max_value=1e6)
hosts = st.from_regex(r"[a-z]{1,20}", fullmatch=True)


@pytest.fixture
def environment(configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings from the given environment only."""

    def read(**values: object) -> Settings:
        with monkeypatch.context() as patch:
            for name, value in values.items():
                patch.setenv(f"SYSTEM_{name}", str(value))
            return Settings(_env_file=None)

    return read


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pace=st.floats(0, 10),
    patience=numbers,
    limit=st.integers(1, 10**9),
    host=st.from_regex(r"[a-z]{1,20}", fullmatch=True),
)
def test_the_environment_overrides_the_defaults(
    environment: Callable[..., Settings], pace: float, patience: float, limit: int, host: str
) -> None:
    url = f"redis://{host}:6379/3"
    read = environment(PACE=pace, QUEUE_PATIENCE=patience, BODY_LIMIT=limit, BROKER_URL=url)
    assert (read.pace, read.queue_patience, read.body_limit, str(read.broker_url)) == (pace, patience, limit, url)
    assert read.backlog_limit == Settings.model_fields["backlog_limit"].default


def test_a_file_is_read_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configure: Callable[..., Settings]
) -> None:
    (tmp_path / ".env").write_text("SYSTEM_APP_NAME=from the file\nSYSTEM_PACE=0.5\nOTHER=1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYSTEM_PACE", "0.25")
    assert (Settings().app_name, Settings().pace) == ("from the file", 0.25)


WRONG = [
    *(("BROKER_URL", url) for url in ("nonsense", "http://h/0", "redis://h:99999999/0", "")),
    ("RESULT_URL", "amqp://h"),
    ("SERVICE_URL", "ftp://h"),
    ("PACE", -1),
    ("PACE", "nan"),
    *((name, value) for name in ("PUBLISH_LEASE", "TICK_SECONDS", "BROKER_TIMEOUT") for value in (0, -1, "inf", "nan")),
    *((name, value) for name in ("BACKLOG_LIMIT", "MAX_STARTS", "BACKOFF_MAX", "BODY_LIMIT") for value in (0, "x")),
    ("MAX_RETRIES", -1),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_refused_with_its_name(environment: Callable[..., Settings], name: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        environment(**{name: value})
    assert [error["loc"][0] for error in caught.value.errors()] == [name.lower()]
    assert name.lower() in str(caught.value)


@example(soft=25, hard=30, backoff=20, visibility=50)
@example(soft=25, hard=30, backoff=20, visibility=51)
@example(soft=30, hard=30, backoff=20, visibility=51)
@given(soft=numbers, hard=numbers, backoff=st.integers(1, 10**6), visibility=st.integers(1, 10**7))
def test_times_that_contradict_each_other_are_refused(soft: float, hard: float, backoff: int, visibility: int) -> None:
    values: dict[str, Any] = {
        "soft_time_limit": soft, "time_limit": hard, "backoff_max": backoff, "visibility_timeout": visibility,
        "retention": 1e9,
    }  # fmt: skip
    if soft < hard and visibility > hard + backoff:
        assert Settings(_env_file=None, **values).run_lease > hard
        return
    with pytest.raises(ValidationError) as caught:
        Settings(_env_file=None, **values)
    assert ("soft_time_limit" if soft >= hard else "visibility_timeout") in str(caught.value)


@pytest.mark.parametrize(("retention", "refused"), [(155.0, True), (155.1, False)])
def test_a_job_is_not_forgotten_while_its_message_may_come_again(
    configure: Callable[..., Settings], retention: float, refused: bool
) -> None:
    given = partial(configure, retention=retention, visibility_timeout=120, time_limit=30)
    if not refused:
        assert given().retention == retention
        return
    with pytest.raises(ValidationError, match="retention must exceed visibility_timeout"):
        given()


def test_settings_can_not_be_changed_afterwards(config: Settings) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        config.pace = 1  # type: ignore[misc]


@pytest.mark.parametrize("field", URLS)
def test_a_password_is_in_nothing_that_shows_settings(configure: Callable[..., Settings], field: str) -> None:
    scheme = "http" if field == "service_url" else "redis"
    read = configure(**{field: f"{scheme}://user:{SECRET}@host:1/0"})
    assert SECRET in str(getattr(read, field))
    app = create_app(read, ping=answering)
    shown = [repr(read), str(read), repr(read.__repr_args__()), repr(app.state.services)]
    assert not [text for text in shown if SECRET in text]


@pytest.mark.parametrize("field", URLS)
@pytest.mark.parametrize("url", [f"redis://:{SECRET}@host:99999999/0", f"{SECRET}", f"nonsense://:{SECRET}@h"])
def test_a_password_is_not_in_the_refusal(configure: Callable[..., Settings], field: str, url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        configure(**{field: url})
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_password_is_not_in_what_contradicts(configure: Callable[..., Settings]) -> None:
    with pytest.raises(ValidationError) as caught:
        configure(broker_url=f"redis://:{SECRET}@host/0", soft_time_limit=5, time_limit=4)
    assert SECRET not in str(caught.value)


def test_a_password_is_not_logged_when_the_broker_is_down(
    configure: Callable[..., Settings], broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(configure(broker_url=f"redis://:{SECRET}@host/0"), ping=answering)
    services = app.state.services
    services.store.create()
    broker.down = True
    broker.serve(services.celery)
    publisher = Publisher(partial(send, services.celery), services.store.published, 60)
    publisher.start()
    publisher.offer(Job("id", "system.divide", (1, 2), State.PENDING, 0))
    with caplog.at_level(logging.DEBUG):
        assert publisher.stop(10)
    assert "was not published" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "body"), [("/divide", {"x": SECRET, "y": 1}), ("/compute", {"n": SECRET}), ("/process", [SECRET])]
)
async def test_what_a_client_sent_is_not_sent_back(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, path: str, body: Any
) -> None:
    with caplog.at_level(logging.INFO):
        response = await client.post(path, json=body, headers={"Idempotency-Key": f"no key: {SECRET}"})
    assert response.status_code == 422
    assert {reason["loc"][0] for reason in response.json()["detail"]} == {"header", "body"}
    assert SECRET not in response.text + caplog.text
