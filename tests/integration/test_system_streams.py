"""Changes of a job's state as server-sent events."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGTERM

from brownout.subject.waiting import eventually
from tests.integration.running import SLACK, NewSystem, Running


@contextmanager
def stream(system: Running, job: str, last: str = "") -> Iterator[Iterator[tuple[str, dict[str, object]]]]:
    """The events of a job, each as its id and its data."""
    path, headers = f"/task-status/{job}/stream", {"Last-Event-ID": last}
    with system.http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()

        def events() -> Iterator[tuple[str, dict[str, object]]]:
            data: dict[str, object] = {}
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    data = json.loads(line.removeprefix("data: "))
                elif line.startswith("id: "):
                    yield line.removeprefix("id: "), data

        yield events()


def test_each_change_is_an_event_and_who_comes_back_gets_what_is_new(calm: Running) -> None:
    with calm.frozen("worker-1"):  # until the first state has come
        job = calm.submit("/divide", {"x": 1, "y": 2})
        with stream(calm, job) as events:
            seen = [next(events)]
    with stream(calm, job, last=seen[0][0]) as events:
        seen += events
    states = [str(data["task_status"]) for _, data in seen]
    assert states[0] == "PENDING"
    assert states[-1] == "SUCCESS"
    assert states == sorted(set(states), key=["PENDING", "STARTED", "SUCCESS"].index), "in order, and none twice"
    assert seen[-1][1]["task_result"] == 0.5
    answer = calm.http.get(f"/task-status/{job}/stream", headers={"Last-Event-ID": seen[-1][0]})
    assert answer.status_code == 204, "there is nothing to come back for"
    assert calm.http.get("/task-status/unknown/stream").status_code == 404


def test_an_api_that_is_told_to_end_does_not_wait_for_its_streams(new_system: NewSystem) -> None:
    system = new_system("streams", listener_limit=1).api().ready()
    job = system.submit("/divide", {"x": 1, "y": 2})
    with stream(system, job) as events:
        assert next(events)[1]["task_status"] == "PENDING"
        with system.http.stream("GET", f"/task-status/{job}/stream") as another:
            assert another.status_code == 503, "one listener, as the settings say"
        system.process("api").signal(SIGTERM)
        eventually(lambda: not system.process("api").alive, within=SLACK, what="the API ends")
        assert list(events) == []
    assert system.said("api", "Application shutdown complete") == 1
