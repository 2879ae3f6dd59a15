"""Security of the running system: violations that are planted, and refused."""

import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from celery.exceptions import SecurityError
from pydantic import RedisDsn
from websockets import Origin
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from brownout.subject.ports import HOST
from brownout.subject.servers.redis_server import RedisServer
from brownout.subject.waiting import eventually
from tests.integration.outside import OutsideService
from tests.integration.running import SLACK, NewSystem, Running

DATABASE = 60  # of the calm Redis, for the system whose broker has a password


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_without_keys_an_api_that_others_reach_ends(new_system: NewSystem, server: str) -> None:
    """Uvicorn opens its socket after the application has started, gunicorn before."""
    system, app = new_system(f"exposed-{server}"), "tests.integration.exposed_api:app"
    if server == "uvicorn":
        system.start("api", ["uvicorn", app, "--host", HOST, "--port", str(system.port)])
    else:
        flags = ["--bind", f"{HOST}:{system.port}", "-k", "uvicorn_worker.UvicornWorker"]
        system.start("api", ["gunicorn", app, *flags])
    text = f"so the API may listen on a loopback address only; it listens on {HOST}"
    eventually(
        lambda: system.said("api", text) > 0 and not system.process("api").alive,
        within=2 * SLACK,
        what="the API ends and says why",
        evidence=system.process("api").tail,
    )
    assert system.said("api", '" 200 ') == 0


def test_with_keys_an_api_that_others_reach_serves_who_has_one(new_system: NewSystem) -> None:
    key, other = uuid.uuid4().hex, uuid.uuid4().hex
    system = new_system("keyed", api_keys={"alice": key, "bob": other})
    system.start("api", ["uvicorn", "tests.integration.exposed_api:app", "--host", HOST, "--port", str(system.port)])
    system.ready("api")
    assert system.http.post("/compute", json={"n": 3}).status_code == 401
    bearer = {"Authorization": f"Bearer {key}"}
    job = system.submit("/compute", {"n": 3}, headers=bearer)
    path, foreign = f"/task-status/{job}", {"Authorization": f"Bearer {other}"}
    assert system.http.get(path, headers=bearer).status_code == 200
    assert system.http.get(path, headers=foreign).status_code == 404, "another owner's job"
    assert system.process("api").alive


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://example.org"}, {"Origin": "null"}, {"Host": "example.org"}],
    ids=["a page's form", "a page without an origin", "a name that leads here"],
)
def test_without_keys_no_page_of_another_site_gets_at_the_api(calm: Running, headers: dict[str, str]) -> None:
    """Such a page makes the browser of somebody at this machine send a request."""
    before = calm.rows("select count(*) from jobs")
    for answer in (calm.http.post("/process", json={}, headers=headers), calm.http.get("/stats", headers=headers)):
        assert (answer.status_code, "own machine only" in answer.text) == (403, True)
    if "Origin" in headers:
        with pytest.raises(InvalidStatus, match="403"):
            connect(f"ws://{HOST}:{calm.port}/task-status/some/events", origin=Origin(headers["Origin"]), proxy=None)
    assert calm.rows("select count(*) from jobs") == before
    assert calm.http.get("/stats", headers={"Origin": str(calm.http.base_url)}).status_code == 200, "a page of its own"


def test_no_url_of_a_client_is_fetched(calm: Running, outside: OutsideService) -> None:
    """Neither one in a job's arguments, nor one to which the outside service redirects."""
    with OutsideService() as canary:
        planted = dict.fromkeys(("url", "service_url", "callback", "host", "location"), canary.url)
        plain = calm.submit("/deliver", planted)
        for status in (301, 302, 303, 307, 308):
            moved = calm.submit("/deliver", {"status": status, "location": canary.url})
            assert calm.ended(moved)["error"] == {
                "type": "HTTPStatusError", "message": f"the service answered {status}",
            }  # fmt: skip
            assert [call.status for call in outside.calls[moved]] == [status]
        assert calm.ended(plain)["task_result"] == 200
        assert canary.calls == {}


def test_a_forged_result_is_data_and_runs_nothing(calm: Running) -> None:
    """CVE-2021-23727: the class of an error came from its stored description, whatever class that was."""
    canary = calm.folder / "canary"
    job = calm.submit("/compute", {"n": 5})
    assert calm.ended(job)["task_status"] == "SUCCESS"
    forged = {"exc_type": "system", "exc_module": "os", "exc_message": [f"touch {canary}"]}
    meta: dict[str, object] = {"status": "FAILURE", "result": forged, "task_id": job, "traceback": None, "children": []}
    with calm.server.client(calm.db + 1) as client:
        client.set(f"celery-task-meta-{job}", json.dumps(meta))
    assert calm.status(job)["task_status"] == "SUCCESS", "the job store knows better"
    with pytest.raises(SecurityError, match=r"os\.system"):
        calm.app.backend.get_task_meta(job)
    assert not canary.exists()


@pytest.fixture
def guarded(
    new_system: NewSystem, calm_redis: RedisServer, secrets: dict[str, str], outside: OutsideService
) -> Running:
    """A system whose URLs have passwords, and whose owner has a key."""
    redis = calm_redis.url(DATABASE).replace("redis://", f"redis://default:{secrets['broker']}@")
    service = outside.url.replace("http://", f"http://user:{secrets['service']}@")
    system = new_system(
        "guarded",
        api_keys={"alice": secrets["key"]},
        broker_url=RedisDsn(redis),
        service_url=service,
        max_retries=1,
        backoff_max=1,
    )
    return system.api().relay().worker("worker-1", "-c", "1", "-E").ready()


@pytest.fixture
def secrets() -> dict[str, str]:
    """Values that must be seen nowhere."""
    return {name: uuid.uuid4().hex for name in ("broker", "service", "key", "argument", "wrong")}


def answers(system: Running, secrets: dict[str, str]) -> Iterator[str]:
    """All that clients get: of jobs that end well, fail, are dead, or are refused; also when the store fails."""
    system.http.headers["Authorization"] = f"Bearer {secrets['key']}"
    secret = {"password": secrets["argument"]}
    jobs = [system.submit("/process-data", secret)]
    jobs += [system.submit("/deliver", {**secret, **more}) for more in ({}, {"status": 400}, {"failures": 9})]
    for job in jobs:
        system.ended(job)
        status = system.http.get(f"/task-status/{job}").json()
        yield json.dumps({name: value for name, value in status.items() if name != "task_result"})
    yield system.http.get("/dead-letters").text
    yield system.http.post("/divide", json=secret).text
    yield system.http.get("/stats", headers={"Authorization": f"Bearer {secrets['wrong']}"}).text
    with closing(sqlite3.connect(system.settings.database)) as connection:
        connection.execute("CREATE TRIGGER broken BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, 'no'); END")
    yield system.http.post("/process-data", json=secret).text


def test_no_secret_is_in_a_log_or_an_answer(guarded: Running, secrets: dict[str, str]) -> None:
    shown: dict[object, str] = dict(enumerate(answers(guarded, secrets)))
    logs = {path.name: path.read_text(errors="replace") for path in guarded.folder.glob("*.log")}
    assert {"api.log", "relay.log", "worker-1.log"} <= set(logs)
    assert "the job store can't be used" in logs["api.log"], "an error with the values of its statement was logged"
    assert "ServiceBusy" in logs["worker-1.log"]
    for name, secret in secrets.items():
        places = [str(place) for place, text in [*shown.items(), *logs.items()] if secret in text]
        assert places == [], f"the secret {name!r} is in {places}"
