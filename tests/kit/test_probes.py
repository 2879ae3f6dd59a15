"""The probes run where the kit itself and its dependencies are not installed.

BROWNOUT_PROBES_PYTHON may name another interpreter that has Celery and redis, such as one of Python 3.8.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from brownout.history.event import Event
from brownout.history.layout import Layout
from brownout.history.view import History
from brownout.subject.processes.process import Process
from brownout.subject.servers.redis_server import RedisServer
from brownout.subject.waiting import eventually

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("BROWNOUT_PROBES_PYTHON", sys.executable)
MISSING = ("httpx", "psutil", "h11", "pytest")

#: Python imports this at its start. The kit's own modules are missing as well.
SITECUSTOMIZE = f"""
    import sys

    class Missing:
        def find_spec(self, name, path=None, target=None):
            top, _, below = name.partition(".")
            other = top == "brownout" and below and below.partition(".")[0] != "probes"
            if top in {MISSING!r} or other:
                raise ModuleNotFoundError(f"{{name}} is not there for the probes", name=name)

    sys.meta_path.insert(0, Missing())
"""
APPLICATION = """
    import os, time
    from celery import Celery

    app = Celery("bare", broker=os.environ["BROKER_URL"], backend=os.environ["BROKER_URL"])

    @app.task
    def add(a, b):
        return a + b

    async def served(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        else:
            time.sleep(0.1)
            raise RuntimeError("on purpose")
"""


@dataclass
class Bare:
    """An application's environment without the kit's dependencies."""

    folder: Path
    env: dict[str, str]

    def start(self, name: str, *argv: str, **env: str) -> Process:
        log = self.folder / f"{name}.log"
        return Process.launch(name, [PYTHON, *argv], log=log, env={**self.env, **env}, cwd=self.folder)

    def ask(self, *argv: str, **env: str) -> str:
        done = subprocess.run(
            [PYTHON, *argv],
            cwd=self.folder,
            env={**os.environ, **self.env, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def bare(tmp_path: Path, redis_server: RedisServer) -> Bare:
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(SITECUSTOMIZE))
    (tmp_path / "bare.py").write_text(textwrap.dedent(APPLICATION))
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    return Bare(tmp_path, {"PYTHONPATH": path, "BROKER_URL": redis_server.url()})


@pytest.fixture
def history(bare: Bare) -> Path:
    return bare.folder / "history.ndjson"


@pytest.fixture
def worker(bare: Bare, history: Path) -> Iterator[Process]:
    argv = ("-m", "celery", "-A", "bare", "worker", "-I", "brownout.probes.celery_tap", "-c", "1")
    with bare.start("worker-1", *argv, BROWNOUT_HISTORY=str(history), C_FORCE_ROOT="1") as process:
        eventually(lambda: kinds(history, "ready"), within=30, what="the worker is ready", evidence=process.tail)
        yield process


def kinds(path: Path, kind: str) -> list[Event]:
    return list(History.load(path).kind(kind))


@pytest.mark.parametrize("module", [*MISSING, "brownout.history", "brownout.lab", "brownout.subject"])
def test_the_kit_and_its_dependencies_are_missing_there(bare: Bare, module: str) -> None:
    code = f"try: import {module}\nexcept ModuleNotFoundError as error: print(error)"
    assert bare.ask("-c", code) == f"{module} is not there for the probes\n"


@contextmanager
def calling(bare: Bare, *words: str, **env: str) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """A process that calls for clients: gives it an order, and returns its answers to that."""
    name = f"brownout-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        listener.settimeout(30)
        argv = ("-m", "brownout.probes.caller", f"@{name}", *words)
        with bare.start("client", *argv, BROWNOUT_CELERY="bare", **env) as client:
            control, _ = listener.accept()
            with control, control.makefile("rwb") as talk:
                control.settimeout(30)

                def heard() -> dict[str, Any]:
                    said: dict[str, Any] = json.loads(talk.readline() or "{}")
                    assert said, client.tail()
                    return said

                def ask(**order: Any) -> list[dict[str, Any]]:
                    talk.write(
                        json.dumps({"id": 7, "args": [1, 2], "kwargs": {}, "options": {}, **order}).encode() + b"\n"
                    )
                    talk.flush()
                    answers = [heard()]
                    while not answers[-1].get("last"):
                        answers.append(heard())
                    assert {answer["id"] for answer in answers} == {7}
                    return answers

                ready = heard()
                assert (ready["id"], ready["event"]) == (0, "ready")
                assert Layout.of(ready["layout"]).queues == ("celery",)
                yield ask


def test_a_worker_and_a_client_that_sends_tell_what_they_do(bare: Bare, worker: Process, history: Path) -> None:
    told = Layout.of(kinds(history, "ready")[0].data["layout"])
    assert (told.queues, told.unacked, told.backend) == (("celery",), "unacked", 0)
    with calling(bare) as ask:
        (sent,) = ask(task="bare.add", options={"task_id": "t-1"})
        assert sent["event"] == "sent"
        (failed,) = ask(task="bare.add", options={"serializer": "none"})
        assert (failed["event"], failed["error"].partition(":")[0]) == ("failed", "SerializerNotInstalled")
        eventually(lambda: kinds(history, "ended"), within=30, what="the task ends", evidence=worker.tail)
    life = History.load(history).by_task["t-1"]
    assert [(event.kind, event.source) for event in life] == [
        (kind, "worker-1") for kind in ("received", "started", "ended")
    ]


def test_a_client_that_calls_reads_the_result(bare: Bare, worker: Process, history: Path) -> None:
    call = {"task": "bare.add", "canvas": "task", "effects": ["op-1"], "body": "", "timeout": 20}
    with calling(bare, "results", BROWNOUT_CONF='{"task_ignore_result": false}') as ask:
        accepted, read = ask(**call, options={"task_id": "t-1"})
        assert (accepted["event"], accepted["tasks"]) == ("accepted", ["t-1"])
        assert (read["event"], read["value"]) == ("read", 3)
        assert accepted["at"] < read["at"]
        accepted, unread = ask(**{**call, "args": ["one", 2]})
        assert (unread["event"], unread["error"].partition(":")[0]) == ("unread", "TypeError")
        (refused,) = ask(**{**call, "options": {"serializer": "none"}})
        assert refused["event"] == "refused"
        accepted, read = ask(**{**call, "canvas": "group", "effects": ["op-1.1", "op-1.2"]})
        assert (len(accepted["tasks"]), read["value"]) == (2, [3, 3])
        accepted, read = ask(**{**call, "canvas": "chain", "effects": ["op-1.1", "op-1.2"]})
        assert (len(accepted["tasks"]), read["value"]) == (1, 3)


# Serves one lifespan and one request of the application, as a server does.
SERVE = """
    import asyncio
    from brownout.probes.api_tap import app

    async def main():
        requests, answers = asyncio.Queue(), asyncio.Queue()
        lifespan = asyncio.ensure_future(app({"type": "lifespan"}, requests.get, answers.put))
        requests.put_nowait({"type": "lifespan.startup"})
        print((await answers.get())["type"])
        await asyncio.sleep(0.05)
        try:
            await app({"type": "http", "path": "/"}, requests.get, answers.put)
        except RuntimeError as error:
            print(error)
        await asyncio.sleep(0.05)
        requests.put_nowait({"type": "lifespan.shutdown"})
        await lifespan

    asyncio.run(main())
"""


def test_an_api_tells_that_its_loop_stood_still(bare: Bare, history: Path) -> None:
    env = {"BROWNOUT_APP": "bare:served", "BROWNOUT_HISTORY": str(history)}
    assert bare.ask("-c", textwrap.dedent(SERVE), **env).splitlines() == ["lifespan.startup.complete", "on purpose"]
    assert [e.kind for e in History.load(history) if e.kind in ("ready", "raised", "shutdown")] == [
        *("ready", "raised", "shutdown")
    ]
    # A loop that waited for a CPU for most of the time is told as starved.
    stalls = [event for event in History.load(history) if event.kind in ("stall", "starved") and event.data["ms"] >= 90]
    assert stalls
    assert all(e.data["stack"][-1].endswith(" served") for e in stalls if e.data.get("stack"))


def test_an_application_is_asked_what_it_offers(bare: Bare) -> None:
    asked = bare.ask("-m", "brownout.probes.surface", "bare", "bare:served", BROWNOUT_CELERY="bare")
    said = json.loads(asked.splitlines()[-1])
    assert said["tasks"] == {"bare.add": ["a", "b"]}
    assert said["routes"] == []
    assert Layout.of(said["layout"]).queues == ("celery",)


def test_forks_are_made_and_their_ends_are_told(bare: Bare) -> None:
    (bare.folder / "it.py").write_text("import sys, celery; print(sys.argv[1:]); sys.exit(int(sys.argv[1]))")
    (bare.folder / "killed.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    with ours, ours.makefile("rwb") as talk:
        with theirs:
            argv = [PYTHON, "-m", "brownout.probes.zygote", str(theirs.fileno())]
            env = {**os.environ, **bare.env}
            zygote = subprocess.Popen(argv, cwd=bare.folder, env=env, pass_fds=[theirs.fileno()])

        def tell(**what: Any) -> None:
            talk.write(json.dumps(what).encode() + b"\n")
            talk.flush()

        def heard() -> dict[str, Any]:
            return json.loads(talk.readline())  # type: ignore[no-any-return]

        try:
            tell(preload=["celery"], scout=["bare"], cwd=str(bare.folder))
            assert heard()["ready"] is True
            for number, (module, args, code) in enumerate([("it", ["3"], 3), ("killed", [], -signal.SIGTERM)]):
                log = bare.folder / f"{module}.log"
                places = {"cwd": str(bare.folder), "log": str(log), "env": env}
                tell(id=number, module=module, args=args, **places)
                forked = heard()
                assert (forked["id"], forked["started"].isdigit()) == (number, True)
                assert heard() == {"exit": forked["pid"], "code": code}, log.read_text()
            assert (bare.folder / "it.log").read_text() == "['3']\n"
            ours.shutdown(socket.SHUT_RDWR)
            assert zygote.wait(30) == 0
        finally:
            zygote.kill()
            zygote.wait()
