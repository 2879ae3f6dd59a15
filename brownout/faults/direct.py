"""Connections of brownout itself to the broker, which no fault closes. These connections show whether a fault had an
effect on Redis."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from brownout.faults.lasting import PATIENT, QUICK
from brownout.subject.servers.redis_server import RedisServer

# Commands that brownout itself sends (history/broker_probe.py, RedisServer.wait_ready): when Redis refuses one of them,
# this does not show that a fault had an effect.
OURS = frozenset({"scan", "lrange", "hvals", "zcard", "exec", "ping", "client|list", "info"})


class Direct:
    """Two connections to Redis: the connection `patient` waits up to 2 s for an answer, the other connection up to 40
    ms."""

    def __init__(self, broker: RedisServer) -> None:
        self.patient: Any = broker.client(timeout=PATIENT, decode=True)
        self._quick: Any = broker.client(timeout=QUICK, decode=True)
        for within in (PATIENT, QUICK):
            self.info("server", within)

    def info(self, section: str, within: float) -> dict[str, Any]:
        """Return Redis's answer to INFO for a section; empty when Redis does not answer `within` seconds."""
        with suppress(RedisError):
            return dict(self._client(within).info(section))
        return {}

    def clients(self, within: float) -> list[dict[str, str]]:
        """Return Redis's answer to CLIENT LIST; empty when Redis does not answer `within` seconds."""
        with suppress(RedisError):
            return list(self._client(within).client_list())
        return []

    def close(self) -> None:
        """Close both connections to Redis."""
        self.patient.close()
        self._quick.close()

    def _client(self, within: float) -> Any:
        return self._quick if within < PATIENT else self.patient


def _count(stat: object) -> int:
    """The number in the answer for one kind of error: redis-py 4 leaves the text "count=1" as it is."""
    text = stat.get("count", 0) if isinstance(stat, dict) else str(stat or "count=0").removeprefix("count=")
    return int(text)


def refusals(code: str, *, fresh: bool = False) -> Callable[[Direct], Callable[[float], str]]:
    """Make a function that looks for commands of the subject that Redis refuses with this error code from now on.

    `fresh` says that the server has just been started, so its counts begin at zero. Redis has INFO errorstats and
    rejected_calls since version 6.2.
    """

    def counts(direct: Direct, within: float) -> tuple[int, dict[str, int]]:
        info = direct.info("all", within)  # the command INFO returns both sections in one answer
        stats = {name.removeprefix("cmdstat_"): stat for name, stat in info.items() if name.startswith("cmdstat_")}
        rejected = {name: stat.get("rejected_calls", 0) for name, stat in stats.items() if name not in OURS}
        return _count(info.get(f"errorstat_{code}")), rejected

    def begin(direct: Direct) -> Callable[[float], str]:
        errors, rejected = (0, {}) if fresh else counts(direct, PATIENT)

        def look(within: float) -> str:
            now, calls = counts(direct, within)
            more = {name: n - rejected.get(name, 0) for name, n in calls.items() if n > rejected.get(name, 0)}
            refused = ", ".join(f"{name} x{n}" for name, n in sorted(more.items()))
            return f"Redis refused with {code}: {refused}" if now > errors and refused else ""

        return look

    return begin
