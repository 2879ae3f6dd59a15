"""What this run must not leave behind, written down at the reaper (see reaper.py), which outlives it."""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from contextlib import suppress
from pathlib import Path

RUN = uuid.uuid4().hex[:12]
RUN_VARIABLE = "BROWNOUT_RUN"  # in the environment of every launched process
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # what ends a terminal session, but never the reaper
LABEL = "brownout.run"  # on every container, with RUN as value

_lock = threading.RLock()
_held: dict[str, dict[str, str | int]] = {}
_reaper: subprocess.Popen[bytes] | None = None


def hold_process(pid: int, started: str) -> None:
    """The process group that `pid` leads is to end with this run; `started` is its token of table.Entry."""
    _hold(f"process {pid}", {"pid": pid, "started": started})


def release_process(pid: int) -> None:
    """The process group is known to be empty."""
    _release(f"process {pid}")


def hold_containers() -> None:
    """Containers that bear `LABEL=RUN` may exist from now on."""
    _hold("containers", {"label": f"{LABEL}={RUN}"})


def hold_directory(path: Path) -> None:
    """The directory is to be removed at the end of this run at the latest."""
    _hold(f"directory {path}", {"directory": str(path)})


def release_directory(path: Path) -> None:
    """The directory is gone."""
    _release(f"directory {path}")


def _hold(key: str, what: dict[str, str | int]) -> None:
    with _lock:
        _held[key] = what
        _tell({"hold": key, **what})


def _release(key: str) -> None:
    with _lock:
        if _held.pop(key, None):
            _tell({"release": key})


def _tell(line: dict[str, str | int]) -> None:
    if _reaper is None:
        _start()
    try:
        _write(line)
    except BrokenPipeError:  # somebody ended the reaper: start another one, and tell it everything
        _start()
        for key, what in _held.items():
            _write({"hold": key, **what})


def _start() -> None:
    global _reaper
    if _reaper is not None:
        _close()
    package_parent = str(Path(__file__).parents[2])
    # Blocked here, so blocked there from its first instruction: a signal must not end it while it still imports.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)
    try:
        _reaper = subprocess.Popen(
            # -S: no site-packages, no .pth file; the reaper lives on the standard library and this package
            [sys.executable, "-S", "-m", "brownout.subject.reaper", RUN],
            stdin=subprocess.PIPE,  # close-on-exec in this process, so that no child keeps it open
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # no run's variable: the reaper of a run around this one must not take this one for a leftover
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
    """An orderly end waits for the reaper: nothing is left when the run's exit code is seen."""
    if _reaper and _reaper.stdin and _reaper.poll() is None:
        with _lock, suppress(BrokenPipeError):
            _write({"bye": 1})
            _close()


def _forget_in_fork() -> None:
    # A forked child must neither keep the pipe open nor speak for its parent.
    global _reaper
    if _reaper and _reaper.stdin:
        os.close(_reaper.stdin.fileno())
        _reaper.returncode = 0  # not this process's child; keeps Popen.__del__ quiet
        _reaper.stdin = None
    _reaper = None
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_fork)
