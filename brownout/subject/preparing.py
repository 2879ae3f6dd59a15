"""Prepares the start of the processes of a trial, and finds out when the trial's API can work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import httpx

from brownout.subject.application import Application, NotLaunched
from brownout.subject.environment import filled
from brownout.subject.ports import listens
from brownout.subject.processes.process import Process

PREPARED_WITHIN = 60.0  # the seconds that each command of `Application.prepare` may take


def prepare(application: Application, folder: Path, env: Mapping[str, str], files: Path, log: Path) -> None:
    """Run the application's preparation commands. Raises NotLaunched when a command fails or takes too long."""
    for command in application.prepare:
        words = ("sh", "-c", filled({"": command}, {"files": str(files)})[""])
        with Process.launch("prepare", words, log=log, env=env, cwd=folder) as process:
            if not process.handle.ended(PREPARED_WITHIN):
                raise NotLaunched(f"the preparation {command!r} took more than {PREPARED_WITHIN:g} s")
            if code := process.returncode:
                raise NotLaunched(f"the preparation {command!r} ended with exit code {code}: {process.last_line()}")


class ApiHealth:
    """Asks the API, on a direct connection and not through the network proxy, whether it can work.

    Without a configured path, GET / is sent, and every answer below 500 means that the API is ready; for a configured
    path the answer must be below 400.
    """

    def __init__(self, path: str) -> None:
        self._path, self._limit = path or "/", 400 if path else 500
        self._http = httpx.Client(timeout=2.0, trust_env=False)
        self._status = 0  # the HTTP status of the last answer; 0 before the first answer

    def ready(self, pid: int, port: int) -> bool:
        """Whether the API can work. An answer counts only when the API's own process `pid` listens on the port."""
        try:
            self._status = self._http.get(f"http://127.0.0.1:{port}{self._path}").status_code
        except httpx.TransportError:
            return False
        return self._status < self._limit and listens(pid, port)

    def refusal(self, within: float) -> str:
        """Return why the API did not count as ready for `within` seconds; empty when no answer of the API says why."""
        if self._status < self._limit:
            return ""
        return f"GET {self._path} answered {self._status} for {within:g} s; give a path that exists with --ready"

    def close(self) -> None:
        """Close the connections to the API."""
        self._http.close()
