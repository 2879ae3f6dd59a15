"""Connections to the broker that no fault of ours closes, and what Redis tells on them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from brownout.faults.lasting import PATIENT, QUICK
from brownout.subject.redis_server import RedisServer

# What our own witnesses send (history/broker_probe.py, RedisServer.wait_ready): refused, it is no evidence.
OURS = frozenset({"scan", "lrange", "hvals", "zcard", "exec", "ping", "client|list", "info"})


class Direct:
    """Two connections, made at once: a `patient` one, and one whose answers are awaited for 40 ms only."""

    def __init__(self, broker: RedisServer) -> None:
        self.patient: Any = broker.client(timeout=PATIENT, decode=True)
        self._quick: Any = broker.client(timeout=QUICK, decode=True)
        for within in (PATIENT, QUICK):
            self.info("server", within)

    def info(self, section: str, within: float) -> dict[str, Any]:
        """INFO; empty when there is no answer yet."""
        with suppress(RedisError):
            return dict(self._client(within).info(section))
        return {}

    def clients(self, within: float) -> list[dict[str, str]]:
        """CLIENT LIST; empty when there is no answer yet."""
        with suppress(RedisError):
            return list(self._client(within).client_list())
        return []

    def close(self) -> None:
        """Close both."""
        self.patient.close()
        self._quick.close()

    def _client(self, within: float) -> Any:
        return self._quick if within < PATIENT else self.patient


def refusals(code: str, *, fresh: bool = False) -> Callable[[Direct], Callable[[float], str]]:
    """Look for commands of the subject that Redis refused with this error code since now.

    `fresh`: the server has just been started, so that it counts from zero. INFO errorstats and rejected_calls are
    there since Redis 6.2.
    """

    def counts(direct: Direct, within: float) -> tuple[int, dict[str, int]]:
        told = direct.info("all", within)  # both sections in one answer
        stats = {name.removeprefix("cmdstat_"): one for name, one in told.items() if name.startswith("cmdstat_")}
        rejected = {name: one.get("rejected_calls", 0) for name, one in stats.items() if name not in OURS}
        return told.get(f"errorstat_{code}", {}).get("count", 0), rejected

    def begin(direct: Direct) -> Callable[[float], str]:
        errors, rejected = (0, {}) if fresh else counts(direct, PATIENT)

        def look(within: float) -> str:
            now, calls = counts(direct, within)
            more = {name: n - rejected.get(name, 0) for name, n in calls.items() if n > rejected.get(name, 0)}
            told = ", ".join(f"{name} x{n}" for name, n in sorted(more.items()))
            return f"refused with {code}: {told}" if now > errors and told else ""

        return look

    return begin
