"""The witnesses inside real processes: they see what happened and change nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from brownout.history.broker_probe import looked
from brownout.history.event import Event
from brownout.history.layout import Layout
from brownout.history.view import History
from brownout.subject.ports import free_port
from brownout.subject.processes.process import Process
from brownout.subject.run_delay import RunDelay
from brownout.subject.servers.redis_server import RedisServer
from brownout.subject.waiting import eventually

ROOT = Path(__file__).parents[2]

TASKS = """
    import os, time
    from celery import Celery

    app = Celery("tapped", broker=os.environ["BROKER_URL"], backend=os.environ["BROKER_URL"])
    app.conf.broker_connection_retry_on_startup = True

    @app.task
    def add(a, b):
        return a + b

    @app.task(bind=True, max_retries=2)
    def flaky(self):
        if self.request.retries < 2:
            raise self.retry(countdown=self.request.retries / 10, exc=OSError("not yet"))

    @app.task
    def fails():
        raise KeyError("on purpose")

    @app.task
    def dies():
        os._exit(9)

    @app.task
    def slow(flag):
        while not os.path.exists(flag):
            time.sleep(0.01)
"""


class Worker:
    """A real `celery worker` with the tap on its command line."""

    def __init__(self, folder: Path, redis: RedisServer, history: Path) -> None:
        (folder / "tapped.py").write_text(textwrap.dedent(TASKS))
        self.folder, self.history = folder, history
        self.app = Celery("client", broker=redis.url(), backend=redis.url(), set_as_current=False)
        env = {
            "BROKER_URL": redis.url(),
            "BROWNOUT_HISTORY": str(history),
            "BROWNOUT_SOURCE": "worker-7",
            "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        }
        argv = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "tapped",
            "worker",
            "-I",
            "brownout.probes.celery_tap",
            "-c",
            "1",
        ]
        bare = ["--without-mingle", "--without-gossip", "--without-heartbeat"]
        self.process = Process.launch("worker-7", argv + bare, log=folder / "worker.log", env=env, cwd=folder)

    def send(self, name: str, *args: Any, **options: Any) -> str:
        return str(self.app.send_task(f"tapped.{name}", args, **options).id)

    def wait(self, kind: str, task: str | None = None, n: int = 1) -> list[Event]:
        def found() -> list[Event]:
            events = [e for e in History.load(self.history).kind(kind) if task in (None, e.task)]
            return events if len(events) >= n else []

        return eventually(found, within=30, what=f"{kind} of {task}", evidence=self.process.tail)


@pytest.fixture
def worker(tmp_path: Path, redis_server: RedisServer) -> Iterator[Worker]:
    made = Worker(tmp_path, redis_server, tmp_path / "history.ndjson")
    with made.process:
        made.wait("ready")
        yield made
        made.app.close()


def test_a_worker_tells_what_happens_to_its_tasks(worker: Worker) -> None:
    added = worker.send("add", 1, 2, headers={"idempotency_key": "key-1"})
    ended = worker.wait("ended", added)[0]
    life = History.load(worker.history).by_task[added]
    assert [e.kind for e in life] == ["received", "started", "ended"]
    assert {e.source for e in life} == {"worker-7"}
    assert [e.key for e in life] == ["key-1"] * 3
    assert life[0].data == {"retries": 0, "redelivered": False, "name": "tapped.add", "eta": None}
    assert ended.data == {"retries": 0, "redelivered": False, "name": "tapped.add", "state": "SUCCESS"}
    main, child = life[0].pid, life[1].pid
    assert main == worker.process.pid
    assert child == ended.pid != main

    flaky = worker.send("flaky")
    retries = worker.wait("retry", flaky, n=2)
    assert [(e.data["retries"], e.data["countdown"]) for e in retries] == [(0, 0.0), (1, 0.1)]
    assert [e.data["state"] for e in worker.wait("ended", flaky, n=3)] == ["RETRY", "RETRY", "SUCCESS"]

    fails = worker.send("fails")
    assert worker.wait("failed", fails)[0].data == {"name": "tapped.fails", "error": "KeyError"}
    assert worker.wait("ended", fails)[0].data["state"] == "FAILURE"

    dies = worker.send("dies")
    lost = worker.wait("failed", dies)[0]
    assert lost.data["error"] == "WorkerLostError"
    assert lost.pid == main  # told by the main process: the child can't any more
    assert not [e for e in History.load(worker.history).kind("ended") if e.task == dies]
    assert len(worker.wait("child-start", n=2)) == 2

    strange = worker.send("unheard_of")
    assert worker.wait("unknown", strange)[0].data == {"name": "tapped.unheard_of"}


def accepted(worker: Worker, task: str) -> bool:
    """Whether the main process knows; what it does not know of at SIGTERM it forgets (celery's AsynPool.flush)."""
    active = worker.app.control.inspect(timeout=1.0).active() or {}
    return any(task_info["id"] == task and task_info["worker_pid"] for tasks in active.values() for task_info in tasks)


def test_a_warm_shutdown_is_told_in_its_order(worker: Worker) -> None:
    flag = worker.folder / "go"
    slow = worker.send("slow", str(flag))
    worker.wait("started", slow)
    eventually(lambda: accepted(worker, slow), within=20, what="the pool's main process has read that it started")
    worker.process.signal(signal.SIGTERM)
    stopping = worker.wait("shutting-down")[0]
    assert stopping.data == {"signal": "SIGTERM", "how": "Warm"}
    flag.touch()
    assert worker.process.wait(20) == 0
    kinds = [e.kind for e in History.load(worker.history) if e.at >= stopping.at]
    assert kinds.index("ended") < kinds.index("shutdown")
    assert worker.wait("child-exit")[0].data == {"code": 0}


def test_a_history_that_cannot_be_written_does_not_harm_the_worker(tmp_path: Path, redis_server: RedisServer) -> None:
    worker = Worker(tmp_path, redis_server, tmp_path)  # a directory
    with worker.process:
        result = worker.app.send_task("tapped.add", (2, 3))
        assert result.get(timeout=30) == 5
        worker.app.close()


def test_without_its_environment_the_worker_tap_connects_nothing() -> None:
    code = """
        import brownout.probes.celery_tap
        from celery import signals
        taps = [s for s, _, _ in brownout.probes.celery_tap._TAPS if s.receivers]
        print(len(brownout.probes.celery_tap._TAPS), len(taps))
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("BROWNOUT_")}
    out = _python(code, env=env)
    count, connected = map(int, out.split())
    assert count > 10
    assert connected == 0


def _python(code: str, *args: str, env: dict[str, str] | None = None) -> str:
    argv = [sys.executable, "-c", textwrap.dedent(code), *args]
    done = subprocess.run(
        argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


APPLICATION = """
    import asyncio, time
    from contextlib import asynccontextmanager
    from fastapi import BackgroundTasks, FastAPI
    from fastapi.responses import StreamingResponse

    @asynccontextmanager
    async def lifespan(app):
        app.state.began = True
        yield

    def create_app():
        app = FastAPI(lifespan=lifespan)

        @app.get("/fine")
        async def fine():
            return {"began": app.state.began}

        @app.get("/stream")
        async def stream():
            return StreamingResponse(iter(["a", "b"]), headers={"x-own": "1"})

        @app.get("/block")
        async def block():
            time.sleep(0.15)
            return {}

        @app.get("/later")
        async def later(tasks: BackgroundTasks):
            tasks.add_task(oops)
            return {}

        def oops():
            raise RuntimeError("nobody looks")

        return app
"""

Ask = Callable[[str], tuple[int, dict[str, str], bytes]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[Process, Ask]]]:
    (tmp_path / "served.py").write_text(textwrap.dedent(APPLICATION))
    running: list[Process] = []

    def start(target: str, *options: str, **env: str) -> tuple[Process, Ask]:
        port = free_port()
        path = os.pathsep.join([str(tmp_path), str(ROOT)])
        argv = [sys.executable, "-m", "uvicorn", target, "--host", "127.0.0.1", "--port", str(port), *options]
        process = Process.launch("api", argv, log=tmp_path / f"api-{port}.log", env={"PYTHONPATH": path, **env})
        running.append(process)

        def ask(path: str) -> tuple[int, dict[str, str], bytes]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                    return answer.status, dict(answer.headers), answer.read()
            except urllib.error.HTTPError as error:
                return error.code, dict(error.headers), error.read()

        eventually(
            lambda: ask("/fine")[0] == 200, within=20, what="uvicorn answers", evidence=process.tail, ignoring=OSError
        )
        return process, ask

    yield start
    for process in running:
        process.kill()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_api_is_watched_and_answers_as_without(
    serve: Callable[..., tuple[Process, Ask]], tmp_path: Path, loop: str
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    path = tmp_path / "history.ndjson"
    watched, ask = serve(
        "brownout.probes.api_tap:app", "--loop", loop, BROWNOUT_APP="served:create_app()", BROWNOUT_HISTORY=str(path)
    )
    plain, ask_plainly = serve("served:create_app", "--factory", "--loop", loop)
    for url in ("/fine", "/stream", "/none", "/later"):
        (status, headers, body), other = ask(url), ask_plainly(url)
        assert (status, body) == (other[0], other[2])
        assert {**headers, "date": ""} == {**other[1], "date": ""}
    ask("/block")

    def stalls() -> list[Event]:
        return [e for e in History.load(path).kind("stall") if "served.py" in str(e.data["stack"])]

    seen = eventually(stalls, within=10, what="the stall")[0]
    assert seen.data["ms"] >= 140
    assert seen.data["stack"][-1].endswith(" block")
    raised = eventually(lambda: History.load(path).kind("raised"), within=10, what="the background task's error")
    assert raised[0].data == {"path": "/later", "error": "RuntimeError: nobody looks"}
    # uvicorn raises the signal that stopped it once more
    assert watched.stop() == plain.stop() == -signal.SIGTERM
    of_the_machine = ("stall", "starved", "paused")  # on a busy one they may come at any time
    assert [e.kind for e in History.load(path) if e.kind not in of_the_machine] == ["ready", "raised", "shutdown"]
    assert History.load(path).kind("ready")[0].data == {"watch": True, "conf": {"application": {}}}


def test_without_a_history_the_application_itself_is_served(serve: Callable[..., tuple[Process, Ask]]) -> None:
    _, ask = serve("brownout.probes.api_tap:app", BROWNOUT_APP="served:create_app()", BROWNOUT_HISTORY="")
    assert json.loads(ask("/fine")[2]) == {"began": True}


# Blocks its loop `argv[3]` times for `argv[4]` seconds and says when each block began; then waits until stdin ends.
WATCH = """
    import asyncio, sys, time
    from brownout.probes.loop_watch import LoopWatch
    from brownout.probes.recorder import Recorder

    async def main():
        # Before anything is watched: the loop itself waits until the new thread gets a CPU.
        end = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
        await asyncio.sleep(0.1)
        watch = LoopWatch(Recorder(sys.argv[1], "api"))
        watch.start()
        await asyncio.sleep(0.1)
        print("watching", flush=True)
        for _ in range(int(sys.argv[3])):
            print(time.monotonic_ns(), flush=True)
            time.sleep(float(sys.argv[4]))
            await asyncio.sleep(0.03)
        await end
        await asyncio.sleep(0.03)
        print(sum(watch._use()[1:]), flush=True)  # ns for which the loop's and the watching thread waited for a CPU
        watch.stop()

    if sys.argv[2] == "uvloop":
        import uvloop
        uvloop.run(main())
    else:
        asyncio.run(main())
"""


@contextmanager
def watching(argv: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Start WATCH; its loop is watched by now. It ends when its stdin does, at the latest with the block."""
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "watching\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_every_stall_of_50_ms_is_seen_with_what_it_stands_on(tmp_path: Path, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    path = tmp_path / "h"
    _, *blocks, waited = _python(WATCH, str(path), loop, "8", "0.05").split()
    assert len(blocks) == 8
    stalls, starved = (
        [e for e in History.load(path).kind(kind) if e.data["ms"] >= 50] for kind in ("stall", "starved")
    )
    times = [e.at for e in (*stalls, *starved)]
    ends = [[at for at in times if int(began) < at < float(after)] for began, after in pairwise([*blocks, "inf"])]
    assert all(ends), f"each block is told before the next one begins: {blocks}, {ends}"
    # A block during which one of the two threads waited for a CPU, for half the time or more, may be told as starved.
    assert int(waited) >= sum(e.data["ms"] for e in starved) * 1e6 / 2
    stacks = [e.data["stack"] for e in stalls if e.data["stack"]]  # none where the watching thread came too late
    assert stacks
    assert all(stack[-1].endswith(" main") for stack in stacks)


def test_a_starved_cpu_is_no_stall(tmp_path: Path) -> None:
    """One CPU with two hogs that go first: the loop's thread waits for it again and again."""
    path = tmp_path / "h"
    pinned = f"import os\nos.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\n"
    code = f"{pinned}os.nice(19)\n{textwrap.dedent(WATCH)}"
    hogs: list[subprocess.Popen[bytes]] = []
    argv = [sys.executable, "-c", code, str(path), "asyncio", "0", "0"]
    with watching(argv) as process:
        waited = RunDelay(threads=False)  # the loop's thread is the main one
        waited.take([process.pid])
        starved = 0

        def long_enough() -> bool:
            nonlocal starved
            starved += waited.take([process.pid])[process.pid]
            return starved > 1e9

        try:
            hogs += [subprocess.Popen([sys.executable, "-c", f"{pinned}while True: pass"]) for _ in range(2)]
            eventually(long_enough, within=60, what="the loop's thread has waited 1 s for its CPU")
        finally:
            for hog in hogs:
                hog.kill()
                hog.wait()
        process.communicate(timeout=60)
    assert [e.data for e in History.load(path).kind("stall") if e.data["ms"] >= 50] == []


def test_a_stopped_process_is_paused_and_not_stalled(tmp_path: Path) -> None:
    path = tmp_path / "h"
    argv = [sys.executable, "-c", textwrap.dedent(WATCH), str(path), "asyncio", "0", "0"]
    with watching(argv) as process:
        process.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{process.pid}/stat")
        eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", within=5, what="it is stopped")
        # The pause itself is the length of this wait: nothing can be observed of a process that stands still.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGCONT)
        paused = eventually(lambda: History.load(path).kind("paused"), within=10, what="the pause is told")
        process.communicate(timeout=60)
        assert process.returncode == 0
    history = History.load(path)
    assert max(e.data["ms"] for e in paused) >= 400
    assert [e.data for e in history.kind("stall") if e.data["ms"] >= 400] == []


def test_a_stall_that_never_ends_is_told_while_it_lasts(tmp_path: Path) -> None:
    path = tmp_path / "h"
    argv = [sys.executable, "-c", textwrap.dedent(WATCH), str(path), "asyncio", "1", "60"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        stalls = eventually(lambda: History.load(path).kind("stall"), within=10, what="the stall")
        process.kill()
    assert stalls[0].data["ongoing"] is True
    assert stalls[0].data["ms"] >= 1000


def test_a_look_finds_every_task_where_it_is(redis_server: RedisServer) -> None:
    app = Celery("client", broker=redis_server.url(), set_as_current=False)
    app.conf.task_queue_max_priority = 9
    with redis_server.client() as client:
        plain = app.send_task("x", queue="celery").id
        urgent = app.send_task("x", queue="celery", priority=6).id
        other = app.send_task("x", queue="other").id
        assert client.llen("celery\x06\x166") == 1
        # As a worker does: take the message, then note it as unacked.
        taken = app.send_task("x", queue="celery").id
        message = client.lpop("celery")
        client.hset("unacked", "tag", json.dumps([json.loads(message), "", "celery"]))
        client.zadd("unacked_index", {"tag": 1})
        client.rpush("celery", "rubbish")
        sample = looked(client, Layout(queues=("celery", "empty")))
    app.close()
    assert sample.data["queues"] == {"celery": 3, "other": 1, "empty": 0}
    assert (sample.data["unacked"], sample.data["unacked_index"]) == (1, 1)
    assert sample.data["by_task"] == {plain: "celery", urgent: "celery", other: "other", taken: "unacked"}
    assert sample.data["clients"] >= 2
    assert sum(sample.data["commands"].values()) == sample.data["clients"]
    assert Event.from_json(sample.to_json()) == sample


def test_a_broker_that_is_down_is_a_look_that_failed(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        own_redis.kill()
        event = looked(client, Layout())
    assert event.kind == "sample-failed"
    assert "Error" in event.data["error"]
