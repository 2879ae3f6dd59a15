"""Runs a Redis server as a local process, which starts in about 9 ms."""

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from brownout.subject.ports import HOST, free_port
from brownout.subject.processes import custody, table
from brownout.subject.processes.process import Process
from brownout.subject.servers.redis_server import PortTaken, State, server_options


class LocalCarrier:
    """Runs the program redis-server or valkey-server. The port is the same after a restart."""

    def __init__(
        self, program: str, *, persistence: bool, options: Mapping[str, str] | None = None, log: Path | None = None
    ) -> None:
        self.port = 0
        self._program = program
        self._options = {**server_options(persistence=persistence), **(options or {})}
        self._once: dict[str, str] = {}
        self._log = log
        self._folder: Path | None = None
        self._process: Process | None = None
        self._served = False  # whether a client may know the port, so that the port must not change

    @property
    def pid(self) -> int | None:
        """The server's pid, or None before the first start."""
        return self._process.pid if self._process else None

    def once(self, options: Mapping[str, str]) -> None:
        """Add Redis settings for the next start only."""
        self._once = dict(options)

    def start(self) -> None:
        """Start Redis on a free port; a later start uses the same port."""
        if self._folder is None:
            self._folder = custody.make_directory("brownout-redis-")
        self.port = self.port or free_port()
        options = {**self._options, **self._once, "port": str(self.port), "bind": HOST, "dir": str(self._folder)}
        argv = [self._program, *(part for key, value in options.items() for part in (f"--{key}", value))]
        self._process = Process.launch("redis", argv, log=self._log or self._folder / "redis.log")
        self._once = {}

    def state(self) -> State:
        """The present state of the Redis process."""
        if self._process is None or not self._process.alive:
            return "ended"
        entry = table.entry(self._process.pid)
        return "paused" if entry and entry.state[:1] == "T" else "running"

    def check(self) -> None:
        """Raise OSError when Redis has ended, and PortTaken when another process had its port."""
        if self._process is None:
            raise OSError("Redis was not started")
        if self._process.alive:
            return
        tail = self._process.tail()
        self._process.kill()
        if "Address already in use" in tail and not self._served:
            self.port = 0
            raise PortTaken(tail)
        raise OSError(f"Redis ended with exit code {self._process.returncode}\n{tail}")

    def halt(self, *, graceful: bool) -> None:
        """End the Redis process and keep its data."""
        self._served = True
        if self._process:
            self._process.stop(signal.SIGTERM) if graceful else self._process.kill()

    def pause(self) -> None:
        """Freeze Redis by SIGSTOP."""
        if self._process:
            self._process.signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen Redis run again (SIGCONT)."""
        if self._process:
            self._process.signal_group(signal.SIGCONT)

    def remove(self) -> None:
        """Kill Redis by SIGKILL, and remove its folder with the data."""
        if self._process:
            self._process.kill()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            custody.release_directory(self._folder)
        self.port, self._folder, self._process, self._served = 0, None, None, False

    def evidence(self) -> str:
        """The last lines of the log of Redis."""
        return self._process.tail() if self._process else ""
