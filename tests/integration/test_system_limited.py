"""What one client may take of an API: its share of the backlog, its submissions in time, its own keys, a listener."""

import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from brownout.subject.ports import HOST
from brownout.subject.waiting import eventually
from system.job import Request
from tests.integration.running import SLACK, NewSystem, Running

OWNERS = ("alice", "bob", "carol", "dave")
SHARE = 3  # unfinished jobs of each owner
MORE_THAN_THE_HANDLERS_THREADS = 45  # the sync handlers of a process share forty threads
LARGE = 8_000_000  # characters; more than the buffers between the API and its client take


@pytest.fixture(scope="module")
def both_apis(make_system: NewSystem) -> Iterator[tuple[Running, Running]]:
    """Two APIs without worker and relay: the first one has owners, the second one takes one submission and one
    listener."""
    keys = {name: uuid.uuid4().hex for name in OWNERS}
    with ExitStack() as stack:
        keyed = stack.enter_context(make_system("owners", api_keys=keys, backlog_limit=SHARE * len(OWNERS), pace=10))
        small = stack.enter_context(make_system("small", rate_limit=0.001, listener_limit=1))
        app = "tests.integration.impatient_api:app"
        small.start("api", ["uvicorn", app, "--host", HOST, "--port", str(small.port)])
        yield keyed.api(), small


@pytest.fixture(scope="module")
def keyed(both_apis: tuple[Running, Running]) -> Running:
    """An API with four owners. No job of theirs ends, and a notification takes twenty seconds."""
    return both_apis[0].ready()


@pytest.fixture(scope="module")
def small(both_apis: tuple[Running, Running]) -> tuple[Running, str]:
    """An API with room for one listener, and the one job that it takes for now. Its streams end after a second."""
    system = both_apis[1].ready()
    return system, system.submit("/divide", {"x": 1, "y": 2})


def of(system: Running, owner: str) -> dict[str, str]:
    """The header with an owner's key."""
    return {"Authorization": f"Bearer {system.settings.api_keys[owner].get_secret_value()}"}


def test_an_owner_can_not_take_the_room_of_another(keyed: Running) -> None:
    body, alice = {"x": 1, "y": 2}, of(keyed, "alice")
    answers = [keyed.http.post("/divide", json=body, headers=alice) for _ in range(SHARE + 1)]
    assert [answer.status_code for answer in answers] == [202] * SHARE + [503], "an owner has a share of the backlog"
    assert answers[-1].json()["detail"] == "too many unfinished jobs of this owner"
    assert answers[-1].headers["Retry-After"] == str(keyed.settings.retry_after)
    keyed.submit("/divide", body, headers=of(keyed, "bob"))


def test_each_owner_has_idempotency_keys_of_its_own(keyed: Running) -> None:
    """Two owners use one key for different requests; neither learns of the other's job."""
    jobs = [
        keyed.http.post("/divide", json={"x": 1, "y": y}, headers={**of(keyed, owner), "Idempotency-Key": "the-same"})
        for y, owner in ((1, "bob"), (2, "carol"), (2, "carol"))
    ]
    assert [job.status_code for job in jobs] == [202] * 3, "each owner has keys of its own"
    bobs, carols, again = (job.json()["task_id"] for job in jobs)
    assert bobs != carols == again


def test_background_functions_leave_the_handlers_their_threads(keyed: Running) -> None:
    """The notifications take longer than the client waits for the handler, which FastAPI runs in a thread."""
    headers = {**of(keyed, "dave"), "Connection": "close"}  # else a connection is busy until its notification is sent
    for number in range(MORE_THAN_THE_HANDLERS_THREADS):
        answer = keyed.http.post(f"/send-notification/someone@{number}.example.org", headers=headers)
        assert answer.status_code == 200
    try:
        answer = keyed.http.post("/start-task", headers=headers)
    except httpx.ReadTimeout:
        pytest.fail("the handler waits for a thread of the background functions")
    assert answer.status_code == 202


def test_an_owner_that_submits_too_often_is_told_when_to_come_back(small: tuple[Running, str]) -> None:
    system, _ = small
    refused = system.http.post("/divide", json={"x": 1, "y": 2})
    assert (refused.status_code, refused.json()) == (429, {"detail": "too many submissions"})
    assert 1 <= int(refused.headers["Retry-After"]) <= 1 / system.settings.rate_limit
    assert system.rows("select count(*) from jobs where task = 'system.divide'") == [(1,)]


def test_a_client_that_leaves_its_websocket_makes_room_for_the_next(small: tuple[Running, str]) -> None:
    """The job does not change, so that only the client's leaving can end the API's waiting for a change."""
    system, job = small

    def is_served() -> bool:
        with connect(f"ws://{HOST}:{system.port}/task-status/{job}/events", proxy=None) as client:
            return "PENDING" in str(client.recv(timeout=SLACK))

    refused = (InvalidStatus, ConnectionClosed)
    assert eventually(is_served, within=SLACK, what="a client listens", ignoring=refused)
    assert eventually(is_served, within=SLACK, what="the next client listens", ignoring=refused)


def test_a_stream_ends_after_its_life(small: tuple[Running, str]) -> None:
    """Its client may be gone without a word; a client that is there comes back."""
    system, job = small

    def streamed() -> list[str]:
        with system.http.stream("GET", f"/task-status/{job}/stream") as answer:
            return list(answer.iter_lines()) if answer.status_code == 200 else []

    try:
        lines = eventually(streamed, within=SLACK, every=0.05, what="there is room for a listener")
    except httpx.ReadTimeout:
        pytest.fail("the stream does not end")
    assert len([line for line in lines if line.startswith("data: ")]) == 1, "the job did not change"


def test_a_client_that_reads_nothing_is_dropped(small: tuple[Running, str]) -> None:
    """Its stream has more to send than the buffers take, and its place is another client's after half a second."""
    system, _ = small
    store = system.app.store
    job = store.accept(Request("system.process_data", ({},)))[0].id
    assert store.finish(job, "system.process_data", "x" * LARGE)

    def deaf() -> socket.socket | None:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.settimeout(SLACK)
        client.connect((HOST, system.port))
        client.sendall(f"GET /task-status/{job}/stream HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        if client.recv(12) == b"HTTP/1.1 200":
            return client
        client.close()
        return None

    def there_is_room() -> bool:
        with system.http.stream("GET", f"/task-status/{job}/stream") as answer:
            return answer.status_code == 200

    client = eventually(deaf, within=SLACK, every=0.05, what="there is room for a listener")
    assert client is not None
    with closing(client):
        eventually(there_is_room, within=SLACK, every=0.05, what="the client that reads nothing is dropped")
