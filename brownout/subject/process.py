"""One process of the subject: launched in a process group of its own, with a log, and never lost sight of."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM, Signals
from types import TracebackType
from typing import Self

import psutil

from brownout.subject import custody, table
from brownout.subject.handle import Child, Handle
from brownout.subject.waiting import NeverHappened

#: A line of a log at a level of errors, or the last line of a traceback.
_ERROR = re.compile(r"\b(ERROR|CRITICAL|FATAL)\b|^\w[\w.]*(Error|Exception)\b|^Error: ")


class Process:
    """A running command and everything that it started. Ended with its whole group, at the latest by the reaper."""

    def __init__(self, name: str, handle: Handle, log: Path) -> None:
        self.name = name
        self.handle = handle
        self.pid = handle.pid
        self.log = log
        self.escalation = ""  # what stop() had to do beyond its signal; empty when nothing
        self._token = handle.started
        custody.hold_process(self.pid, self._token)

    @classmethod
    def launch(
        cls,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Self:
        """Start `argv` in a session of its own; stdout and stderr are appended to `log`.

        `env` is laid over this process's environment. Raises OSError when the command cannot be executed.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            popen = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=cwd,
                env={**os.environ, **(env or {}), custody.RUN_VARIABLE: custody.RUN},
                start_new_session=True,
                pass_fds=pass_fds,
            )
        return cls(name, Child(popen), log)

    @property
    def returncode(self) -> int | None:
        """Exit code of the main process, negative for a signal, None while it lives."""
        return self.handle.poll()

    @property
    def alive(self) -> bool:
        """Whether the main process lives; a stopped (SIGSTOP) one does."""
        return self.returncode is None

    def signal(self, sig: int) -> None:
        """Send a signal to the main process only; nothing happens when it has ended."""
        self.handle.signal(sig)

    def signal_group(self, sig: int) -> None:
        """Send a signal to the main process and all in its group, also when the main process is dead."""
        if self.alive or self.members():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, sig)

    def members(self) -> list[int]:
        """Pids of everything that lives in the group, the main process included, also when that one is dead."""
        return [each.pid for each in table.living_group(self.pid, self._token)]

    def children(self) -> list[psutil.Process]:
        """What the living main process started, directly or not. Signals sent through these are safe from pid reuse.

        A fault asks at a point of the wire, while a task is running: a look at every process of a busy machine takes
        longer than many a task. So the kernel's own list of children is read where there is one.
        """
        found = []
        with suppress(psutil.NoSuchProcess):
            if not table.LISTS_CHILDREN:
                return psutil.Process(self.pid).children(recursive=True)
            for pid in table.family(self.pid)[1:]:
                with suppress(psutil.NoSuchProcess):
                    found.append(psutil.Process(pid))
        return found

    def wait(self, within: float) -> int:
        """Wait for the main process to end; returns its exit code, raises NeverHappened after `within` seconds."""
        if not self.handle.ended(within):
            raise NeverHappened(f"not within {within:g} s: {self} ends\n{self.tail()}")
        code = self.handle.poll()
        assert code is not None
        return code

    def stop(self, sig: int = SIGTERM, within: float = 10.0) -> int:
        """Ask the main process to end and return its exit code (see returncode).

        SIGCONT follows the signal, as with systemd, because a stopped process acts on nothing else. After `within`
        seconds the whole group is killed; so is what outlives the main process. Either is told in `escalation` and at
        the log's end.
        """
        if self.alive:
            self.signal(sig)
            self.signal_group(SIGCONT)
            if not self.handle.ended(within):
                name = Signals(sig).name
                self._say(f"{self} did not end within {within:g} s of {name}: killed, with {self.members()}")
        if self.returncode is not None and (left := self.members()):
            self._say(f"{self} ended and left {left}: killed")
        return self.kill()

    def kill(self) -> int:
        """SIGKILL the whole group, wait until it is empty, and return the main process's exit code."""
        if self.alive:
            # The main process first: a fork that does not lead its group yet never will.
            self.handle.signal(SIGKILL)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, SIGKILL)
        code = self.wait(10.0)
        table.end_group(self.pid, self._token)
        custody.release_process(self.pid)
        return code

    def tail(self, lines: int = 20) -> str:
        """The last lines of the log, under its path, for error messages."""
        text = self.log.read_bytes()[-16_384:].decode(errors="replace") if self.log.exists() else ""
        return "\n".join([f"--- {self.log}", *text.splitlines()[-lines:]])

    def last_line(self) -> str:
        """The last line near the log's end that tells an error, else the last one that says something."""
        lines = [line.strip() for line in reversed(self.tail().splitlines()[1:]) if line.strip()]
        return next(filter(_ERROR.search, lines), lines[0] if lines else "it said nothing")

    def _say(self, what: str) -> None:
        self.escalation = what
        with self.log.open("a") as out:
            out.write(f"[brownout] {what}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"
