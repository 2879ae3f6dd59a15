"""Flower as a process: it shows what was done, and nothing depends on it."""

import httpx

from brownout.subject.ports import HOST, free_port
from brownout.subject.waiting import eventually
from tests.integration.running import SLACK, Running


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
    calm.end("flower")
    assert calm.ended(calm.submit("/compute", {"n": 2}))["task_status"] == "SUCCESS"
