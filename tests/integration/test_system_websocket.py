"""Changes of a job's state over a WebSocket."""

import json
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from brownout.subject.ports import HOST
from tests.integration.running import SLACK, Running


def events(system: Running, job: str) -> Iterator[dict[str, object]]:
    with connect(f"ws://{HOST}:{system.port}/task-status/{job}/events", proxy=None) as client:
        for message in client:
            yield json.loads(message)
        assert client.close_code == 1000


def test_each_change_is_sent_until_the_last(calm: Running) -> None:
    with calm.frozen("worker-1"):  # until the first state has come
        changes = events(calm, calm.submit("/divide", {"x": 1, "y": 2}))
        seen = [next(changes)]
    seen += changes
    states = [str(each["task_status"]) for each in seen]
    assert states[-1] == "SUCCESS"
    assert states == sorted(set(states), key=["PENDING", "STARTED", "SUCCESS"].index), "in order, and none twice"
    assert states[0] == "PENDING", "and not the last alone"
    assert seen[-1]["task_result"] == 0.5


def test_an_unknown_job_is_told_apart(calm: Running) -> None:
    with connect(f"ws://{HOST}:{calm.port}/task-status/nobody/events", proxy=None) as client:
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=SLACK)
        assert client.close_code == 4404
