"""A run of pytest that a test may interrupt or kill, on a project of its own."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from brownout.history.event import Event
from brownout.history.tail import parse
from brownout.subject.waiting import NeverHappened, eventually
from tests.kit.leftovers import MARK, containers, listening, strays, traces
from tests.kit.small_project import ROOT, write

#: One trial for each phase in which a run can be interrupted; each stays in its phase for longer than any test waits.
SCENARIOS = """
@pytest.fixture
def bench(lab):
    lab.workers(1, pool="solo")
    lab.promise(at_least_once())
    return lab


def test_launch(bench):
    bench.topology(env={"SMALL_LINGERS": "60"})
    bench.load(submit("small.work", every="50ms"), lasting="60s")
    bench.run()


def test_load(bench):
    bench.load(submit("small.work", every="50ms"), post("/slow", every="50ms"), lasting="60s")
    bench.inject(vanish(), on="client->broker", when=ended(nth=3))
    bench.inject(stop(), on="worker-1", when=ended(nth=3))
    bench.run()


def test_heal(bench):
    bench.load(post("/slow", every="50ms", count=5))
    bench.run()


def test_drain(bench):
    bench.load(submit("small.work", lasting=60, every="50ms", count=5))
    bench.run()
"""


class Killable:
    """The running pytest; `output` grows while it runs."""

    def __init__(self, folder: Path, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.folder, self.popen, self._log = folder, popen, log
        self.began = time.monotonic()

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace")

    def events(self) -> list[Event]:
        """The history of its trials, as far as it is written."""
        blocks = [path.read_bytes() for path in sorted(self.folder.glob("store/test*/2*/history.ndjson"))]
        return [event for block in blocks for event in parse(block)[0]]


# What a shell starts in the background ignores Ctrl-C, and hands that on to whatever it starts.
LISTENING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"


@contextmanager
def pytest_run(
    folder: Path, *arguments: str, scenarios: str = SCENARIOS, conftest: str = "", **env: str
) -> Iterator[Killable]:
    """Start pytest on the scenarios, in a session of its own as a shell would; at the end it is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, scenarios, conftest=conftest)
    scratch, log = folder / "tmp", folder / "output"
    scratch.mkdir()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:asyncio"]
    own = {MARK: str(folder), "TMPDIR": str(scratch), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command += arguments
    with log.open("wb") as out:
        popen = subprocess.Popen(
            [sys.executable, "-c", LISTENING, *command],
            cwd=folder,
            env={**os.environ, **own, **env},
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield Killable(folder, popen, log)
    finally:
        popen.kill()
        popen.wait()


@dataclass(frozen=True)
class Kill:
    """What a run had just before it was killed, and what of it was left when its reaper had its time."""

    scenario: str
    phase: str
    processes: int
    ports: int
    containers: int
    left: tuple[str, ...]


def killed_at_random(folder: Path, chance: random.Random, *arguments: str, image: str = "", **env: str) -> Kill:
    """SIGKILL pytest at a random moment of a random trial, or of all of them side by side with xdist's `-n`.

    The moment is up to two and a half times as long after the trial's begin as pytest needed to come there. `image` is
    of containers that only this run has.
    """
    scenario = "all" if "-n" in arguments else chance.choice(["launch", "load", "heal", "drain"])
    chosen = () if scenario == "all" else ("-k", f"test_{scenario}")
    with pytest_run(folder, *chosen, *arguments, **env) as run:
        eventually(
            lambda: run.events() or run.popen.poll() is not None,
            within=60,
            what="a trial begins",
            evidence=lambda: run.output,
        )
        with suppress(subprocess.TimeoutExpired):
            run.popen.wait(chance.uniform(0.0, 2.5) * (time.monotonic() - run.began))
        before, held = traces(folder, besides=run.popen.pid), containers(image) if image else []
        phases = [event.data["name"] for event in run.events() if event.kind == "phase"]
        assert run.popen.poll() is None, run.output
        run.popen.kill()
        run.popen.wait()

    def left() -> tuple[str, ...]:
        now = traces(folder)
        ports = (f"port {port}" for port, _ in before.listening & listening())
        return (*now.processes.values(), *ports, *strays(folder / "tmp"), *(containers(image) if image else ()))

    with suppress(NeverHappened):
        eventually(lambda: not left(), within=30, every=0.05, what="everything is gone")
    return Kill(scenario, phases[-1], len(before.processes), len(before.listening), len(held), left())
