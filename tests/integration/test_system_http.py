"""The HTTP surface, from outside: what each endpoint promises, and that none of them is in another's way."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from brownout.subject.waiting import eventually
from tests.integration.running import SLACK, Running
from tests.measured import Span, measured

PROCESSED = {"status": "completed", "result": "processed"}
SUBMISSIONS: list[tuple[str, Any, Any]] = [
    ("/process", {"item": 1}, {**PROCESSED, "data": {"item": 1}}),
    ("/process-data", {"ü": [1, None, {"x": 1.5}]}, {**PROCESSED, "data": {"ü": [1, None, {"x": 1.5}]}}),
    ("/start-task", None, 0.5),
    ("/divide", {"x": 1, "y": 2}, 0.5),
    ("/compute", {"n": 15}, 610),
]  # fmt: skip
BAD: list[tuple[str, bytes, int]] = [
    ("/process-data", b'{"x": NaN}', 422),
    ("/process-data", b'{"x": "\\ud800"}', 422),
    ("/process-data", b'{"x": 99999999999999999999}', 422),
    ("/process-data", b"[1, 2]", 422),
    ("/process-data", b'{"x": 1', 422),
    ("/process", b"", 422),
    ("/process-data", b'{"x": "' + b"y" * 70_000 + b'"}', 413),
    ("/divide", b'{"x": 1}', 422),
    ("/divide", b'{"x": 1, "y": Infinity}', 422),
    ("/divide", b'{"x": 1, "y": 2, "z": 3}', 422),
    ("/compute", b'{"n": 31}', 422),
    ("/deliver", b'"text"', 422),
]


def test_hello_health_and_documents(calm: Running) -> None:
    assert calm.http.get("/").json() == {"message": "Hello World"}
    assert calm.http.get("/health-check").json() == {"status": "ok", "parts": {}}
    eventually(  # a worker tells the store after it has begun to consume
        lambda: calm.http.get("/health-check/ready").status_code == 200, within=SLACK, what="the system is ready"
    )
    parts = {"store": "up", "broker": "up", "worker": "up"}
    assert calm.http.get("/health-check/ready").json()["parts"] == parts
    paths = calm.http.get("/openapi.json").json()["paths"]
    assert {path for path, *_ in SUBMISSIONS} | {"/task-status/{task_id}", "/stats", "/example"} <= set(paths)
    for page in ("/docs", "/redoc"):
        assert calm.http.get(page).headers["content-type"].startswith("text/html")


def test_many_who_wait_are_served_together(calm: Running) -> None:
    async def get(client: httpx.AsyncClient) -> None:
        assert (await client.get("/example")).json() == {"message": "Done"}

    async def measure(together: int) -> tuple[Span, Span]:
        url, api = str(calm.http.base_url), calm.process("api").pid
        async with httpx.AsyncClient(base_url=url, timeout=SLACK, trust_env=False) as client:
            with measured(api) as alone:
                await get(client)
            with measured(api) as all_of_them:
                await asyncio.gather(*(get(client) for _ in range(together)))
            return alone, all_of_them

    alone, all_of_them = asyncio.run(measure(40))
    assert all_of_them.least < 40 * alone.wall / 4, "forty in about the time of one, and by no means in that of forty"


def test_what_is_accepted_is_known_at_once_and_done(calm: Running) -> None:
    jobs = []
    for path, body, result in SUBMISSIONS:
        jobs.append((calm.submit(path, body), result))
        assert calm.status(jobs[-1][0])["task_status"] in ("PENDING", "STARTED", "SUCCESS")  # and never 404
    assert len({job for job, _ in jobs}) == len(SUBMISSIONS)
    for job, result in jobs:
        done = calm.ended(job)
        assert (done["task_status"], done["task_result"], done["attempts"]) == ("SUCCESS", result, 1)
        assert calm.effects()[job] == 1
        calm.logged("worker-1", f"[{job}] succeeded")
    assert not {job for job, _ in jobs} & {job for (job,) in calm.rows("select job_id from outbox")}, "nothing is due"


def test_divided_by_zero_is_a_failure_of_the_job(calm: Running) -> None:
    failed = calm.ended(calm.submit("/divide", {"x": 1, "y": 0}))
    assert failed["task_status"] == "FAILURE"
    assert failed["error"] == {"type": "ZeroDivisionError", "message": "float division by zero"}
    assert failed["attempts"] == 1, "not retried by accident"
    assert calm.effects()[failed["task_id"]] == 0


def test_an_unknown_id_is_not_found(calm: Running) -> None:
    answer = calm.http.get("/task-status/no-such-job")
    assert (answer.status_code, answer.json()) == (404, {"detail": "no job has this id"})


def test_bad_input_is_refused_with_a_reason_and_queues_nothing(calm: Running) -> None:
    with calm.server.client() as client:
        before = calm.rows("select count(*) from jobs"), client.info("commandstats").get("cmdstat_lpush")
        for path, body, status in BAD:
            answer = calm.http.post(path, content=body, headers={"content-type": "application/json"})
            assert (path, body[:40], answer.status_code) == (path, body[:40], status)
            assert answer.json()["detail"]
        refused = calm.http.post("/process", json={}, headers={"Idempotency-Key": "not a key"})
        assert refused.status_code == 422
        after = calm.rows("select count(*) from jobs"), client.info("commandstats").get("cmdstat_lpush")
    assert after == before


def test_an_idempotency_key_makes_twenty_requests_one_job(calm: Running) -> None:
    def post(_: int) -> httpx.Response:
        return calm.http.post("/divide", json={"x": 1, "y": 4}, headers={"Idempotency-Key": "twenty-at-once"})

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(post, range(20)))
    assert {answer.status_code for answer in answers} == {202}
    (job,) = {answer.json()["task_id"] for answer in answers}
    assert calm.ended(job)["task_result"] == 0.25
    assert calm.effects()[job] == 1
    assert post(0).json()["task_id"] == job, "also when it is done"
    assert calm.said("worker-1", f"[{job}] received") == 1
    other = calm.http.post("/divide", json={"x": 1, "y": 5}, headers={"Idempotency-Key": "twenty-at-once"})
    assert (other.status_code, other.json()["detail"]) == (409, "this Idempotency-Key belongs to another request")


def test_background_functions_run_after_the_answer(calm: Running) -> None:
    before = calm.http.get("/stats").json()["background"]
    with calm.store_locked():  # until the answer is here, the notification cannot be written
        answer = calm.http.post("/send-notification/someone@example.org")
        assert answer.json() == {"message": "Notification scheduled to be sent in the background"}
        assert calm.effects()["someone@example.org"] == 0, "the answer does not wait for it"
    assert calm.http.post("/execute-task/").json() == {"message": "Task is running in the background."}

    def counted() -> bool:
        now = calm.http.get("/stats").json()["background"]
        return bool(now == {"scheduled": before["scheduled"] + 2, "done": before["done"] + 2, "failed": 0})

    eventually(counted, within=SLACK, what="both are done")
    assert calm.effects()["someone@example.org"] == 1
    assert calm.http.post("/send-notification/nobody").status_code == 422
