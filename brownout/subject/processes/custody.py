"""Registers processes, containers and directories at the reaper, a process that removes them after the run (see
reaper.py)."""

import atexit
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from contextlib import suppress
from pathlib import Path

RUN = uuid.uuid4().hex[:12]
RUN_VARIABLE = "BROWNOUT_RUN"  # This variable is in the environment of every launched process.
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Signals that end a terminal session; the reaper blocks them.
LABEL = "brownout.run"  # The label of every container; its value is RUN.

_lock = threading.RLock()
_held: dict[str, dict[str, str | int]] = {}
_reaper: subprocess.Popen[bytes] | None = None


def hold_process(pid: int, started: str) -> None:
    """Tell the reaper to kill the process group of the leader `pid` at the end of this run; `started` is the field of
    `table.Entry` that tells processes with the same pid apart."""
    _hold(f"process {pid}", {"pid": pid, "started": started})


def release_process(pid: int) -> None:
    """Tell the reaper that the process group of the leader `pid` has no members any more."""
    _release(f"process {pid}")


def hold_containers() -> None:
    """Tell the reaper to remove all containers with the label `LABEL=RUN` at the end of this run."""
    _hold("containers", {"label": f"{LABEL}={RUN}"})


def make_directory(prefix: str) -> Path:
    """Make a temporary directory that the reaper removes at the end of this run.

    The reaper is told the name first: a process that is killed right after it has made the directory leaves none.
    """
    path = Path(tempfile.gettempdir()) / f"{prefix}{secrets.token_hex(6)}"
    hold_directory(path)
    path.mkdir(mode=0o700)
    return path


def hold_directory(path: Path) -> None:
    """Tell the reaper to remove the directory at the end of this run."""
    _hold(f"directory {path}", {"directory": str(path)})


def release_directory(path: Path) -> None:
    """Tell the reaper that the directory has been removed already."""
    _release(f"directory {path}")


def _hold(key: str, entry: dict[str, str | int]) -> None:
    with _lock:
        _held[key] = entry
        _tell({"hold": key, **entry})


def _release(key: str) -> None:
    with _lock:
        if _held.pop(key, None):
            _tell({"release": key})


def _tell(line: dict[str, str | int]) -> None:
    if _reaper is None:
        _start()
    try:
        _write(line)
    except BrokenPipeError:  # the reaper has been killed, so another reaper is started and gets all registered entries
        _start()
        for key, entry in _held.items():
            _write({"hold": key, **entry})


def _start() -> None:
    global _reaper
    if _reaper is not None:
        _close()
    package_parent = str(Path(__file__).parents[3])
    # The signals are blocked here because the child inherits this, so that no signal ends the reaper while it still
    # imports.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)
    try:
        _reaper = subprocess.Popen(
            # -S: no site-packages and no .pth files; the reaper needs only the standard library and this package
            [sys.executable, "-S", "-m", "brownout.subject.processes.reaper", RUN],
            stdin=subprocess.PIPE,  # close-on-exec is set in this process, so that no child keeps the pipe open
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # the reaper's environment lacks RUN_VARIABLE, so that the reaper of an outer run does not kill this reaper
            env={k: v for k, v in os.environ.items() if k != RUN_VARIABLE} | {"PYTHONPATH": package_parent},
            start_new_session=True,
            bufsize=0,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _write(line: dict[str, str | int]) -> None:
    assert _reaper is not None
    assert _reaper.stdin is not None
    _reaper.stdin.write(json.dumps(line).encode() + b"\n")


def _close() -> None:
    if _reaper and _reaper.stdin:
        _reaper.stdin.close()
        _reaper.wait()


@atexit.register
def _leave() -> None:
    """When this process ends normally, wait until the reaper has cleaned up, so that nothing is left after the end."""
    if _reaper and _reaper.stdin and _reaper.poll() is None:
        with _lock, suppress(BrokenPipeError):
            _write({"bye": 1})
            _close()


def _forget_in_fork() -> None:
    # After a fork the child must not keep the pipe to the reaper open, and must not write to it.
    global _reaper
    if _reaper and _reaper.stdin:
        os.close(_reaper.stdin.fileno())
        # this assignment prevents a warning of Popen.__del__ about a process that still runs
        _reaper.returncode = 0
        _reaper.stdin = None
    _reaper = None
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_fork)
