"""Small modules that are started as parts of an application, cold or by forks."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

from brownout.subject.part import Part
from brownout.subject.processes import table
from brownout.subject.processes.forks import Forked
from brownout.subject.processes.launcher import Launcher
from brownout.subject.processes.process import Process
from brownout.subject.waiting import eventually

Launch = Callable[..., Process]
StartForked = Callable[..., Forked]
UP = "import sys, time; print('up', flush=True); time.sleep(60)"
PARENT = """
    import subprocess, sys, time
    for _ in range(2):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        time.sleep(0.03)  # start times have a resolution of 10 ms
    print("up", flush=True)
    time.sleep(60)
"""


class Launching:
    """Gives `start(code)`, which runs it as a module and waits for the "up" that it prints, if it does."""

    def __init__(self, launcher: Launcher, folder: Path) -> None:
        self.launcher, self.folder = launcher, folder
        self.started: list[Process] = []

    def start(self, code: str, *args: str, **env: str) -> Process:
        """Write the module and start it; its log is its number's."""
        (self.folder / "it.py").write_text(textwrap.dedent(code))
        log = self.folder / "log" / f"{len(self.started)}"
        process = self.launcher.launch(Part("it", "it", args, self.folder, env), log)
        self.started.append(process)
        if "'up'" in code or '"up"' in code:
            is_up(process)
        return process

    def __enter__(self) -> Launch:
        return self.start

    def __exit__(self, *_: object) -> None:
        for process in self.started:
            process.kill()


def is_up(process: Process) -> None:
    """Wait until the process has printed "up"."""
    eventually(lambda: "up" in process.tail().splitlines(), within=20, what="the process prints", evidence=process.tail)


def children(process: Process) -> list[int]:
    """Pids of what the process has started and what lives, the oldest first."""
    return [pid for pid in process.members() if pid != process.pid]


def living(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    found = table.entry(pid)
    return found is not None and found.living


def all_gone(*pids: int) -> None:
    """Wait until none of these processes lives."""
    eventually(lambda: not any(map(living, pids)), within=15, what=f"all of {pids} end")


def in_state(pid: int, state: str) -> None:
    """Wait until the kernel shows a process in a state, such as "T" for a stopped one."""
    eventually(lambda: (found := table.entry(pid)) and found.state == state, within=10, what=f"{pid} is in {state}")


def descriptors() -> list[str]:
    """Open files of this process, less the one of the listing."""
    names = [link.name for link in Path("/proc/self/fd").iterdir()]
    return [name for name in names if Path(f"/proc/self/fd/{name}").is_symlink()]
