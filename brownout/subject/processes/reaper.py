"""The reaper (`python -m brownout.subject.processes.reaper RUN`) outlives a run and removes what the run left behind.

The reaper reads lines of JSON from its standard input, by which custody.py registers processes, containers and
directories. The pipe is closed when the process of the run ends, for whatever reason, also by SIGKILL. When the pipe is
closed, the reaper removes everything that was registered and not released. The reaper needs only the standard library,
and blocks the signals that end a terminal session.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from brownout.subject.processes import table


def listen(lines: Any) -> tuple[dict[str, dict[str, Any]], bool]:
    """Read from the pipe until it is closed. Return the registered entries that were not released again, and whether
    the run ended normally."""
    held: dict[str, dict[str, Any]] = {}
    orderly = False
    for line in lines:
        try:
            message = json.loads(line)
        except ValueError:
            continue  # the run's process died while it wrote the line
        if "hold" in message:
            held[message["hold"]] = message
        held.pop(message.get("release", ""), None)
        orderly = "bye" in message
    return held, orderly


def end_marked(run: str) -> None:
    """Kill every process that has the variable of the run in its environment, even in another session.

    The environment also shows processes that the run had started but not yet registered when it died. Reading the
    environment of a process works on Linux only. A program that changes its title, as Redis does, may have overwritten
    its environment.
    """
    mark = f"BROWNOUT_RUN={run}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0") and int(path.parent.name) != os.getpid():
                os.kill(int(path.parent.name), signal.SIGKILL)


def end_inside(directories: list[str]) -> None:
    """Kill every process whose working directory is one of `directories`. In this way Redis servers are found, which
    the function `end_marked` does not find."""
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if str(path.readlink()) in directories:
                os.kill(int(path.parent.name), signal.SIGKILL)


def remove_containers(label: str, sweeps: int) -> None:
    """Remove the containers of the run, `sweeps` times and 0.5 s apart, because Docker may still be creating a
    container for a run that was killed."""
    from brownout.subject.servers import docker_api

    for sweep in range(sweeps):
        time.sleep(0.5 if sweep else 0)
        with contextlib.suppress(docker_api.DockerError):
            docker_api.remove_labelled(label)


def clean(run: str, held: dict[str, dict[str, Any]], orderly: bool) -> None:
    """Kill process groups, then remove containers, then directories."""
    for entry in held.values():
        if "pid" in entry:
            with contextlib.suppress(TimeoutError):
                table.end_group(entry["pid"], entry["started"])
    end_marked(run)
    end_inside([entry["directory"] for entry in held.values() if "directory" in entry])
    for entry in held.values():
        if "label" in entry:
            remove_containers(entry["label"], 1 if orderly else 4)
    for entry in held.values():
        if "directory" in entry:
            shutil.rmtree(entry["directory"], ignore_errors=True)


def main() -> None:
    """Wait until the run has ended, then remove what it left behind."""
    clean(sys.argv[1], *listen(sys.stdin.buffer))


if __name__ == "__main__":
    main()
