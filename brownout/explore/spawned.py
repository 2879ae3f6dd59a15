"""A process of the subject, seen from an asyncio loop: its end by a pidfd (Linux), what it started by /proc."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from brownout.subject import custody, table
from brownout.subject.waiting import NeverHappened


class Spawned:
    """A process that leads a session of its own; `kill()` is to be called for each, because its group may outlive it.

    `exited` is set as soon as it has ended. `returncode` is None before, and negative for a signal.
    """

    def __init__(self, name: str, pid: int, started: str, log: Path) -> None:
        self.name, self.pid, self.log = name, pid, log
        self.returncode: int | None = None
        self.exited = asyncio.Event()
        self.released = False  # kill() has seen that nothing is left
        self._started = started
        self._pidfd: int | None = None
        with suppress(ProcessLookupError):  # news of its end is on the way
            self._pidfd = os.pidfd_open(pid)
        custody.hold_process(pid, started)

    @property
    def alive(self) -> bool:
        """Whether the main process is not known to have ended; a stopped (SIGSTOP) one has not."""
        return self.returncode is None

    async def wait(self, within: float) -> int:
        """Wait for the main process to end; returns its exit code, raises NeverHappened after `within` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.exited.wait()
        if self.returncode is None:
            raise NeverHappened(f"not within {within:g} s: {self} ends\n{self.tail()}")
        return self.returncode

    def signal(self, sig: int) -> None:
        """Send a signal to the main process only; nothing happens when it has ended."""
        if self._pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, sig)

    def signal_group(self, sig: int) -> None:
        """Send a signal to the main process and all in its group, also when the main process is dead."""
        leader = table.entry(self.pid)
        if self.released or (leader and leader.started != self._started):
            return  # the number may be somebody else's by now
        try:
            os.killpg(self.pid, sig)
        except ProcessLookupError:
            self.signal(sig)  # a fork that does not lead its session yet has no group

    def children(self) -> list[int]:
        """Pids of the living processes that the main process itself started (a pool's), the oldest first."""
        return [each.pid for each in _children(self.pid)]

    async def kill(self) -> None:
        """SIGKILL the whole group and wait until it is empty; harmless when it was.

        Raises NeverHappened when something is left after ten seconds (uninterruptible sleep, another user's process).
        """
        if self.released:
            return
        leader = table.entry(self.pid)
        below = None
        if leader and leader.living and leader.started == self._started:
            below = [each for each in _below(self.pid) if each.group == self.pid]
        self.signal(signal.SIGKILL)  # first, so that it cannot lead a group that does not exist yet
        self.signal_group(signal.SIGKILL)
        await self.wait(10.0)
        for _ in range(2500):
            if not await self._left(below):
                break
            self.signal_group(signal.SIGKILL)
            await asyncio.sleep(0.004)
        else:
            raise NeverHappened(f"not within 10 s: all that {self} started ends")
        self.released = True
        custody.release_process(self.pid)

    async def _left(self, below: Sequence[table.Entry] | None) -> bool:
        """Whether any of these lives or, when the main process was dead already, whoever is in its group."""
        if below is not None:  # to look at every process of the machine costs milliseconds
            return any(each.started == now.started for each in below if (now := table.entry(each.pid)) and now.living)
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return bool(await asyncio.to_thread(table.living_group, self.pid, self._started))  # zombies have a group, too

    def tail(self, lines: int = 20) -> str:
        """The last lines of the log, under its path, for error messages."""
        text = self.log.read_bytes()[-16_384:].decode(errors="replace") if self.log.is_file() else ""
        return "\n".join([f"--- {self.log}", *text.splitlines()[-lines:]])

    def ended(self, code: int) -> None:
        """For launchers: say that it has ended."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        self.returncode = code
        self.exited.set()

    def watch(self, code: Callable[[], int]) -> None:
        """For launchers that are told nothing: see its end, and then ask for its exit code."""
        loop, pidfd = asyncio.get_running_loop(), self._pidfd

        def seen() -> None:
            if pidfd is not None:
                loop.remove_reader(pidfd)
            self.ended(code())

        seen() if pidfd is None else loop.add_reader(pidfd, seen)

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def _children(pid: int) -> list[table.Entry]:
    pids: set[int] = set()
    with suppress(OSError):  # it ends
        for thread in Path(f"/proc/{pid}/task").iterdir():
            pids.update(map(int, (thread / "children").read_text().split()))
    found = [each for each in map(table.entry, pids) if each and each.living and each.parent == pid]
    return sorted(found, key=lambda each: (int(each.started), each.pid))


def _below(pid: int) -> list[table.Entry]:
    children = _children(pid)
    return [*children, *(each for child in children for each in _below(child.pid))]
