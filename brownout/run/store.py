"""The store of traces: each trial has a folder <store>/<scenario>/<time>/, and the traces of the newest runs are kept.

A run is one command that stores trials, for example `pytest`, `brownout map` or `brownout replay`. The file
`<store>/.runs/<time>-<id>` lists the trials of the run. While a process adds trials to the run, or replays or shrinks
one of them, it holds a shared lock on this file. When no process holds a lock on this file, the run is over, and its
trials may be removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("celery", "kombu", "redis", "fastapi", "uvicorn", "uvloop", "brownout")
KEPT = 20
LONGEST = 80


def stamp() -> str:
    """Return the present time in UTC, to the microsecond, as text that sorts by time."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")


def new_run() -> str:
    """Return a new name for a run."""
    return f"{stamp()}-{uuid.uuid4().hex[:6]}"


@dataclass(frozen=True)
class Store:
    """A directory with the files of trials, as one run (one command) uses it. The traces of the last `keep` runs are
    kept, including this run."""

    root: Path
    run: str
    keep: int = KEPT

    def place(self, scenario: str) -> Path:
        """Return a new directory for one trial; the link `latest` beside the directory now leads to it."""
        list_ = _joined(self.root, self.run)
        if list_.new:
            prune(self.root, self.keep)
        while True:
            own = self.root / folder_of(scenario) / stamp()
            # The folder is added to the list before it is made, so that no folder is missing in the list
            list_.add(f"{own.parent.name}/{own.name}")
            # The loop tries again when another worker's trial has taken the name, or another process has just removed
            # the empty folder.
            with suppress(FileExistsError, FileNotFoundError):
                own.parent.mkdir(parents=True, exist_ok=True)
                own.mkdir()
                (own / "log").mkdir()
                _lead(own.parent / "latest", own.name)
                return own

    def seconds(self, scenario: str) -> float:
        """How long (seconds) the newest stored trial of the scenario took; 0 when this is not known."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            return float(
                json.loads((self.root / folder_of(scenario) / "latest" / "results.json").read_text())["seconds"]
            )
        return 0.0

    def trials(self) -> list[Path]:
        """Return the folders of the trials of this run, the oldest first."""
        try:
            listed = [self.root / line for line in _listed(self.root / ".runs" / self.run)]
        except FileNotFoundError:
            return []
        return [folder for folder in listed if folder.is_dir()]

    def partial(self) -> list[Path]:
        """The trials of this run that have no result, because they were interrupted or brownout failed."""
        return [folder for folder in self.trials() if not (folder / "results.json").exists()]


def folder_of(scenario: str) -> str:
    """Return the scenario's name as the name of a folder; a name that is cut ends in a hash of the whole name."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", scenario).strip("-.") or "trial"
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - 7]}-{hashlib.blake2b(scenario.encode(), digest_size=3).hexdigest()}"


class _List:
    """The open file that lists the trials of a run."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        ignore = path.parents[1] / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")  # git must not publish files that the system under test wrote
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._fd, fcntl.LOCK_SH)
        self._fresh = True

    @property
    def new(self) -> bool:
        """Return True at the first call, and False at all later calls."""
        fresh, self._fresh = self._fresh, False
        return fresh

    def add(self, trial: str) -> None:
        os.write(self._fd, f"{trial}\n".encode())


@cache  # the file stays open, and so locked, until this process ends
def _joined(root: Path, run: str) -> _List:
    return _List(root / ".runs" / run)


def _lead(link: Path, name: str) -> None:
    fresh = link.with_name(f".{name}")
    # the error is ignored: on a file system without links people find the newest folder by its time
    with suppress(OSError):
        fresh.symlink_to(name)
        fresh.replace(link)


def prune(root: Path, keep: int) -> None:
    """Remove the trials of all runs except the newest `keep` runs. Trials of a run that still goes on are not
    removed."""
    runs = sorted((root / ".runs").iterdir())
    for run in runs[: max(0, len(runs) - keep)]:
        with suppress(OSError), run.open("rb") as list_:
            # a BlockingIOError means that another process holds the lock, so the run still goes on
            fcntl.flock(list_, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for line in _listed(run):
                _remove(root, line)
            run.unlink()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Within the block no process removes the run of the trial that is stored in `folder` or in a folder above it.

    Entering the block has no effect when the trial belongs to no run, for example because a person copied the folder.
    """
    with ExitStack() as locks:
        for trial in (folder, *folder.parents):
            for run in (trial.parent.parent / ".runs").glob("*"):
                with suppress(OSError):  # this error means that another process has just removed the trials of this run
                    if f"{trial.parent.name}/{trial.name}" in _listed(run):
                        fcntl.flock(locks.enter_context(run.open("rb")), fcntl.LOCK_SH)
        yield


def of_same_run(folder: Path) -> list[Path]:
    """The folders of all trials of the newest run that lists the trial in `folder`; none when no run lists it."""
    root = folder.parent.parent
    for run in sorted((root / ".runs").glob("*"), reverse=True):
        with suppress(OSError):  # another process has just pruned this run
            if f"{folder.parent.name}/{folder.name}" in _listed(run):
                return Store(root, run.name).trials()
    return []


def newest_run(root: Path) -> str | None:
    """The name of the newest run of a store of traces, or None when the folder is no such store."""
    return max((run.name for run in (root / ".runs").glob("*")), default=None)


def _listed(run: Path) -> list[str]:
    return list(dict.fromkeys(run.read_text().splitlines()))


def _remove(root: Path, trial: str) -> None:
    scenario, _, name = trial.partition("/")
    if folder_of(scenario) != scenario or not re.fullmatch(r"\d{8}T\d{12}", name):
        return  # the list contains a folder that is not the folder of a trial
    shutil.rmtree(root / scenario / name, ignore_errors=True)
    latest = root / scenario / "latest"
    if latest.is_symlink() and not latest.exists():
        latest.unlink(missing_ok=True)
    with suppress(OSError):
        (root / scenario).rmdir()  # rmdir removes the folder only when it is empty


def environment(**more: str) -> Mapping[str, str]:
    """Return the versions and parts that a reader needs to compare two trials, without any environment variables."""
    found = {"python": sys.version.split()[0], "system": f"{platform.system()} {platform.release()}"}
    return found | versions(*PACKAGES) | more


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of the installed distributions among `names`, without importing them."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def write(path: Path, content: object) -> None:
    """Write JSON that a person can read."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True, default=str) + "\n")
