"""Celery's own surface: the documents' way of calling a task, and messages that a worker must not trip over."""

import json
import pickle
import subprocess
import sys
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from textwrap import dedent

import pytest

from brownout.subject.waiting import eventually
from system.celery_app import App, make_celery
from system.job import Request, now
from tests.integration.running import SLACK, NewSystem, Running, environment


@pytest.fixture(scope="module")
def producer(calm: Running) -> Iterator[App]:
    """A Celery application that only publishes."""
    app = make_celery(calm.settings)
    yield app
    app.close()


def alive_and_idle(calm: Running) -> None:
    """The worker does new work, and nothing is left unacknowledged."""
    assert calm.ended(calm.submit("/compute", {"n": 1}))["task_result"] == 1
    with calm.server.client(calm.db) as client:
        eventually(lambda: client.hlen("unacked") == 0, within=SLACK, what="every message is acknowledged")


def test_delay_and_get_as_in_the_documents(calm: Running) -> None:
    """From a plain Python process: PENDING, then 0.5; a division by zero raises there."""
    code = """
        import json
        from system.worker import app
        from system.tasks import divide
        good, bad = divide.delay(1, 2), divide.delay(1, 0)
        print(good.state, flush=True)
        value = good.get(timeout=15)
        try:
            bad.get(timeout=15)
        except ZeroDivisionError as error:
            caught = str(error)
        print(json.dumps([value, good.state, caught, bad.state, "ZeroDivisionError" in bad.traceback, good.id]))
    """
    command, env, pipe = [sys.executable, "-c", dedent(code)], environment(calm.settings), subprocess.PIPE
    start = partial(subprocess.Popen, command, env=env, cwd=calm.folder, stdout=pipe, stderr=pipe, text=True)
    with calm.frozen("worker-1") as go_on, start() as process:  # stopped until the first state is read
        assert process.stdout is not None
        first = process.stdout.readline()
        go_on()
        out, wrong = process.communicate(timeout=4 * SLACK)
    assert process.returncode == 0, wrong
    *rest, job = json.loads(out)
    assert first == "PENDING\n"
    assert rest == [0.5, "SUCCESS", "division by zero", "FAILURE", True]
    assert calm.effects()[job] == 1, "past the store, and its effect is recorded all the same"


def test_an_unknown_task_is_rejected_visibly(calm: Running, producer: App) -> None:
    producer.send_task("no.such.task", task_id="unknown-1")
    calm.logged("worker-1", "Received unregistered task of type 'no.such.task'")
    alive_and_idle(calm)


def test_a_job_whose_task_no_worker_knows_is_a_dead_letter_in_the_end(new_system: NewSystem) -> None:
    """In a rolling deploy another worker may know it: the job is not dropped, and does not loop for ever. The pauses,
    after which the relay sends it again, are far longer than a busy machine takes for this test."""
    system = new_system("stranger", max_starts=2, queue_patience=10 * SLACK).worker("worker-1", "-c", "1").ready()
    job, _ = system.app.store.accept(Request("no.such.task", ()))
    for records in range(1, system.settings.max_starts + 1):
        earliest = now() + system.settings.queue_patience * 2 ** (records - 1)
        system.app.send_task("no.such.task", task_id=job.id, ignore_result=True)
        eventually(
            lambda records=records: system.rows("select starts, state from jobs") == [(records, "PENDING")],  # type: ignore[misc]
            within=SLACK,
            what="the worker records that it does not know the task",
        )
        ((due,),) = system.rows("select due from outbox")
        assert due >= earliest, "each time later"
    system.app.send_task("no.such.task", task_id=job.id, ignore_result=True)
    assert system.job_ended(job.id).error == {
        "type": "UnknownTask", "message": "task no.such.task was unknown, or did not end, 2 times",
    }  # fmt: skip
    assert [letter.reason for letter in system.app.store.dead_letters.page("local", 5)] == ["unknown task"]


class Canary:
    """Its unpickling leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return open, (str(self._path), "w")


def test_a_pickle_and_yaml_are_refused_unread(calm: Running, producer: App, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(pickle.dumps(Canary(canary))).close()
    assert canary.exists(), "the bait works where pickles are read"
    canary.unlink()
    with producer.producer_or_acquire() as sender:
        headers = {"id": str(uuid.uuid4()), "task": "system.divide", "lang": "py"}
        yaml = f'!!python/object/apply:os.system ["touch {canary}"]'
        for body, kind, encoding in (
            (pickle.dumps(((Canary(canary), 1), {}, {})), "application/x-python-serialize", "binary"),
            (yaml.encode(), "application/x-yaml", "utf-8"),
        ):
            sender.publish(body, routing_key="celery", headers=headers, content_type=kind, content_encoding=encoding)
    calm.logged("worker-1", "Received invalid task message: Refusing to deserialize", times=2)
    alive_and_idle(calm)
    assert not canary.exists()
