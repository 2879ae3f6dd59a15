"""Flower as a process: it shows what was done, and nothing depends on it."""

import httpx

from brownout.subject.ports import HOST, free_port
from brownout.subject.waiting import eventually
from system.publisher import HIDDEN
from tests.integration.running import SLACK, Running

# Flower's `/metrics` and `/healthcheck` have no password. They show names and numbers: Flower listens on the loopback.
OPERATIONS = [
    ("GET", "/"), ("GET", "/tasks"), ("GET", "/api/workers"), ("GET", "/api/task/info/any"),
    ("POST", "/api/task/async-apply/system.tick"), ("POST", "/api/task/revoke/any"),
    ("POST", "/api/worker/shutdown/worker-1@here"),
]  # fmt: skip


def test_flower_shows_a_task_and_its_death_harms_nothing(calm: Running) -> None:
    port = free_port()
    address = [f"--address={HOST}", f"--port={port}", "--basic-auth=watch:secret"]
    # It would turn the workers' events on by itself; here it shows what `-E` on their command line does.
    calm.start("flower", ["celery", "-A", "system.worker", "flower", "--enable_events=False", *address])
    with httpx.Client(base_url=f"http://{HOST}:{port}", timeout=SLACK, trust_env=False) as client:
        eventually(
            lambda: client.get("/api/tasks").status_code == 401,
            within=2 * SLACK,
            every=0.05,
            what="Flower answers, and nobody reads it without the password",
            evidence=calm.process("flower").tail,
            ignoring=httpx.TransportError,
        )
        for auth in (None, httpx.BasicAuth("watch", "wrong"), httpx.BasicAuth("", "")):
            for method, path in OPERATIONS:
                answer = client.request(method, path, auth=auth)
                assert answer.status_code == 401, f"{method} {path}"
        assert calm.process("worker-1").alive
        client.auth = httpx.BasicAuth("watch", "secret")
        shown: dict[str, dict[str, object]] = {}

        def shows(state: str, path: str, body: dict[str, float]) -> bool:
            """Events from before Flower listened are not sent again, so ask for new work until one is shown."""
            job = calm.submit(path, body)
            calm.ended(job)
            found = client.get("/api/tasks").json()
            shown.update(found)
            return any(task["state"] == state and task["uuid"] in calm_jobs() for task in found.values())

        def calm_jobs() -> set[str]:
            return {row[0] for row in calm.rows("select id from jobs")}

        eventually(lambda: shows("SUCCESS", "/compute", {"n": 3}), within=SLACK, what="a success is shown")
        eventually(lambda: shows("FAILURE", "/divide", {"x": 1, "y": 0}), within=SLACK, what="a failure is shown")
        failed = next(task for task in shown.values() if task["state"] == "FAILURE")
        assert "ZeroDivisionError" in str(failed["exception"])
        assert {task["args"] for task in shown.values()} == {HIDDEN}, "the arguments of jobs are the clients'"
        assert client.get(f"/task/{failed['uuid']}").status_code == 200
    calm.end("flower")
    assert calm.ended(calm.submit("/compute", {"n": 2}))["task_status"] == "SUCCESS"
