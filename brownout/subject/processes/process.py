"""A process of the subject, in its own process group and with a log. Until the process has ended, it is registered at
the reaper, which kills what a run has left behind."""

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

from brownout.subject.processes import custody, table
from brownout.subject.processes.handle import Child, Handle
from brownout.subject.waiting import NeverHappened

#: Matches a log line of level ERROR or higher, and the last line of a traceback.
_ERROR = re.compile(r"\b(ERROR|CRITICAL|FATAL)\b|^\w[\w.]*(Error|Exception)\b|^Error: ")


class Process:
    """A running command, and all processes that the command has started. If nobody kills the process group of the
    command before the end of the run, the reaper kills it."""

    def __init__(self, name: str, handle: Handle, log: Path) -> None:
        self.name = name
        self.handle = handle
        self.pid = handle.pid
        self.log = log
        self.escalation = ""  # a sentence that says which processes `stop` had to kill; "" when the signal was enough
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

        `env` is added to this process's environment. Raises OSError when the command cannot be executed.
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
        """The exit code of the main process: negative after a signal, None while the process lives."""
        return self.handle.poll()

    @property
    def alive(self) -> bool:
        """Whether the main process lives; a process that is stopped by SIGSTOP lives."""
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
        """The pids of all living processes in the group, also when the main process is dead."""
        return [member.pid for member in table.living_group(self.pid, self._token)]

    def children(self) -> list[psutil.Process]:
        """All descendants of the main process. psutil checks that a descendant's pid was not reused before it sends a
        signal.

        A fault uses this property while a task is running, and a scan of all processes may take longer than the task.
        This property therefore reads the kernel's list of a process's children, if the kernel has one.
        """
        descendants = []
        with suppress(psutil.NoSuchProcess):
            if not table.LISTS_CHILDREN:
                return psutil.Process(self.pid).children(recursive=True)
            for pid in table.family(self.pid)[1:]:
                with suppress(psutil.NoSuchProcess):
                    descendants.append(psutil.Process(pid))
        return descendants

    def wait(self, within: float) -> int:
        """Wait for the main process to end; returns its exit code, raises NeverHappened after `within` seconds."""
        if not self.handle.ended(within):
            raise NeverHappened(f"still not true after {within:g} s: {self} has ended\n{self.tail()}")
        code = self.handle.poll()
        assert code is not None
        return code

    def stop(self, sig: int = SIGTERM, within: float = 10.0) -> int:
        """Signal the main process to end, and return its exit code (see `returncode`).

        SIGCONT follows the signal, as with systemd, because a stopped process handles no other signal. The whole
        process group is killed if the main process has not ended after `within` seconds, or if other members of the
        group outlive it. If a process group had to be killed, a sentence in `escalation` and at the end of the log says
        so.
        """
        if self.alive:
            self.signal(sig)
            self.signal_group(SIGCONT)
            if not self.handle.ended(within):
                name = Signals(sig).name
                self._say(f"{self} did not end within {within:g} s of {name}: killed processes {self.members()}")
        if self.returncode is not None and (members := self.members()):
            self._say(f"{self} ended and left processes {members} in its group: killed them")
        return self.kill()

    def kill(self) -> int:
        """Kill the whole group, wait until the group is empty, and return the main process's exit code."""
        if self.alive:
            # The process is first killed by its pid, because a process that was just forked may not lead its own
            # process group yet.
            self.handle.signal(SIGKILL)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, SIGKILL)
        code = self.wait(10.0)
        table.end_group(self.pid, self._token)
        custody.release_process(self.pid)
        return code

    def tail(self, lines: int = 20) -> str:
        """Return the path of the log and its last lines, for error messages."""
        text = self.log.read_bytes()[-16_384:].decode(errors="replace") if self.log.exists() else ""
        return "\n".join([f"--- {self.log}", *text.splitlines()[-lines:]])

    def last_line(self) -> str:
        """Return the last line near the end of the log that shows an error; if there is none, the last line that is not
        empty."""
        lines = [line.strip() for line in reversed(self.tail().splitlines()[1:]) if line.strip()]
        return next(filter(_ERROR.search, lines), lines[0] if lines else "the log of the process is empty")

    def _say(self, sentence: str) -> None:
        self.escalation = sentence
        with self.log.open("a") as out:
            out.write(f"[brownout] {sentence}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"
