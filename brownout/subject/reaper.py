"""The process that outlives a run and ends what the run left: `python -m brownout.subject.reaper RUN`.

It reads what the run holds from its standard input, one JSON object a line (custody.py writes them). The pipe closes
when the run's process ends in whatever way, SIGKILL included; then everything that was not released goes. It needs
the standard library only, and is started with the signals that end a whole terminal session blocked.
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

from brownout.subject import table


def listen(lines: Any) -> tuple[dict[str, dict[str, Any]], bool]:
    """Read until the pipe closes; returns what is still held, and whether the run said good-bye."""
    held: dict[str, dict[str, Any]] = {}
    orderly = False
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            continue  # the run died in the middle of a line
        if "hold" in said:
            held[said["hold"]] = said
        held.pop(said.get("release", ""), None)
        orderly = "bye" in said
    return held, orderly


def end_marked(run: str) -> None:
    """End every process that still bears the run's variable, in whatever session it hid.

    This also finds what was launched in the instant before it could be written down. Linux only; a program that
    rewrites its title may have overwritten its environment (Redis does).
    """
    mark = f"BROWNOUT_RUN={run}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0") and int(path.parent.name) != os.getpid():
                os.kill(int(path.parent.name), signal.SIGKILL)


def end_inside(directories: list[str]) -> None:
    """End every process that works in a directory of the run's own: Redis wipes the environment that marks it."""
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if str(path.readlink()) in directories:
                os.kill(int(path.parent.name), signal.SIGKILL)


def remove_containers(label: str, sweeps: int) -> None:
    """Remove the run's containers; more than once when a request of the dead run may still be on its way."""
    from brownout.subject import docker_api

    for sweep in range(sweeps):
        time.sleep(0.5 if sweep else 0)
        with contextlib.suppress(docker_api.DockerError):
            docker_api.remove_labelled(label)


def clean(run: str, held: dict[str, dict[str, Any]], orderly: bool) -> None:
    """End groups, then containers, then directories."""
    for each in held.values():
        if "pid" in each:
            with contextlib.suppress(TimeoutError):
                table.end_group(each["pid"], each["started"])
    end_marked(run)
    end_inside([each["directory"] for each in held.values() if "directory" in each])
    for each in held.values():
        if "label" in each:
            remove_containers(each["label"], 1 if orderly else 4)
    for each in held.values():
        if "directory" in each:
            shutil.rmtree(each["directory"], ignore_errors=True)


def main() -> None:
    """Listen, then clean."""
    clean(sys.argv[1], *listen(sys.stdin.buffer))


if __name__ == "__main__":
    main()
