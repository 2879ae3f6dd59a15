"""Schemathesis over the OpenAPI document: random requests to a real server without a broker, documented answers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, settings
from pydantic import RedisDsn, SecretStr
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from system.access import PROBES
from system.factory import create_app
from system.schemas import plain
from system.settings import Settings
from system.tables import CONSUMING

STARTING_SECONDS = 30
KEY = "a-key-of-the-contract-tests"
bounded = settings(
    max_examples=50, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


async def answering() -> bool:
    """A broker that is there, as far as readiness goes."""
    return True


async def down() -> bool:
    """A broker that is not there."""
    return False


@schemathesis.check
def no_error_but_the_documented_one(_context: schemathesis.CheckContext, response: object, case: object) -> None:
    """500 is a defect; 503 is an answer. Whether an operation documents it, Schemathesis checks."""
    status = getattr(response, "status_code", 0)
    if status >= 500 and status != 503:
        raise Failure(operation=str(case), title="Server error", message=f"answered {status}")


@contextmanager
def serving(settings: Settings, *, broker: bool) -> Iterator[str]:
    """The address of a server on a free port of 127.0.0.1. Nothing listens where its broker should be."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # from now on, who connects waits
        app = create_app(settings, ping=answering if broker else down)
        if broker:
            app.state.services.store.create()
            app.state.services.store.saw(CONSUMING)  # as a worker does
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            host, port = listener.getsockname()
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            thread.join(STARTING_SECONDS)


@pytest.fixture(scope="session")
def nowhere() -> Iterator[int]:
    """A port that is bound and does not listen: who connects is refused."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def configured(folder: Path, nowhere: int, backlog_limit: int) -> Settings:
    """Settings whose broker and result backend refuse connections."""
    return Settings(
        _env_file=None,
        database=folder / "jobs.db",
        broker_url=RedisDsn(f"redis://127.0.0.1:{nowhere}/0"),
        result_url=RedisDsn(f"redis://127.0.0.1:{nowhere}/1"),
        backlog_limit=backlog_limit,
        pace=0,
        worker_patience=3_600,  # no worker tells again that it is there
    )


@pytest.fixture(scope="session")
def roomy(tmp_path_factory: pytest.TempPathFactory, nowhere: int) -> Iterator[str]:
    """The system with room for every job."""
    with serving(configured(tmp_path_factory.mktemp("roomy"), nowhere, 10**6), broker=True) as address:
        yield address


@pytest.fixture(scope="session")
def crowded(tmp_path_factory: pytest.TempPathFactory, nowhere: int) -> Iterator[str]:
    """The system with its backlog full, and not ready."""
    with serving(configured(tmp_path_factory.mktemp("crowded"), nowhere, 1), broker=False) as address:
        yield address


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory, nowhere: int) -> Iterator[str]:
    """The system with a key for one owner."""
    given = configured(tmp_path_factory.mktemp("keyed"), nowhere, 10**6)
    own = given.model_copy(update={"api_keys": {"alice": SecretStr(KEY)}})
    with serving(own, broker=True) as address:
        yield address


schema, keyed_schema = (
    schemathesis.openapi.from_dict(create_app(Settings(_env_file=None, api_keys=keys)).openapi())
    for keys in ({}, {"alice": SecretStr(KEY)})
)


@schema.hook
@keyed_schema.hook
def filter_body(_context: schemathesis.HookContext, body: object) -> bool:
    """JSON Schema can't say what `plain` refuses (depth, surrogates); the unit tests see to those bodies."""
    try:
        plain(cast("dict[str, Any]", [body]))
    except ValueError:
        return False
    return True


def test_the_crowded_system_is_in_trouble(crowded: str) -> None:
    """Without this, nothing below would meet a 503."""
    assert httpx.get(f"{crowded}/health-check/ready").status_code == 503
    assert {httpx.post(f"{crowded}/start-task").status_code for _ in range(2)} <= {202, 503}
    assert httpx.post(f"{crowded}/start-task").status_code == 503


@schema.parametrize()
@bounded
def test_with_room_every_answer_is_as_documented(case: schemathesis.Case[Any], roomy: str) -> None:
    """Valid requests are accepted, others refused, and no status is 5xx."""
    case.call_and_validate(base_url=roomy)


@keyed_schema.parametrize()
@settings(bounded, max_examples=20)
def test_with_keys_every_answer_is_as_documented(case: schemathesis.Case[Any], keyed: str) -> None:
    """Schemathesis leaves the key out and tries a wrong one, too. It does not know that the key is put in here, and
    would miss a refusal of what it made without one; that such requests are refused is the next test's."""
    headers = {"Authorization": f"Bearer {KEY}"}
    case.call_and_validate(base_url=keyed, headers=headers, excluded_checks=[negative_data_rejection])


@keyed_schema.parametrize()
@settings(bounded, max_examples=5)
def test_without_a_valid_key_every_operation_is_refused(case: schemathesis.Case[Any], keyed: str) -> None:
    """Whatever the request is, also with a method that the path does not have, and with a body that is no JSON."""
    for headers in ({"Authorization": ""}, {"Authorization": f"Bearer {KEY}x"}, {"Authorization": f"Basic {KEY}"}):
        status = case.call(base_url=keyed, headers=headers).status_code
        assert (status == 401) == (case.path not in PROBES), f"{case.method} {case.path}: {status}"


@schema.parametrize()
@settings(bounded, max_examples=20)
def test_in_trouble_every_answer_is_as_documented(case: schemathesis.Case[Any], crowded: str) -> None:
    """503 comes where the document says so, and no other 5xx."""
    case.call_and_validate(base_url=crowded, excluded_checks=[not_a_server_error, positive_data_acceptance])
