"""How long to wait for what: from the configuration under test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NOTICED = 5.0  # s; a time-out up to this is waited for, a longer one is not
LEAST = 1.5  # s for which a reply is kept where there is no time-out at all
MARGIN = 1.5  # s beyond a time-out before it is said that nothing will happen
BRPOP = 1.0  # s, kombu's brpop_timeout
HEALTH = 25.0  # s, kombu.transport.redis.DEFAULT_HEALTH_CHECK_INTERVAL
VISIBILITY = 3_600.0  # s, kombu's visibility_timeout
RESTORE = 100.0  # s, unacked_restore_interval x unacked_restore_throttle
POOL_TIMER = 5.0  # s, celery.concurrency.asynpool: what it does not see at once it finds by this


@dataclass(frozen=True)
class Bounds:
    """All in seconds. `held` is past every time-out of 5 s or less, `beyond` are the longer ones (named)."""

    held: float
    probe: float
    result: float
    recover: float  # for messages that the broker gives back; 0 where that takes longer than is waited for
    republished: float  # for what is nowhere and the application brings back; 0 where it never does
    beyond: Mapping[str, float]

    @property
    def still(self) -> float:
        """When nothing has moved for so long, nobody gives back or publishes again what is left or missing."""
        return self.held + max(self.recover, self.republished) + POOL_TIMER

    @property
    def limit(self) -> float:
        """The longest trial: what recovers must have done so."""
        return self.held + self.probe + self.result + POOL_TIMER

    @classmethod
    def of(cls, conf: Mapping[str, Any], recovery: float = 0.0) -> Bounds:
        """From Celery's configuration as the client has it; `recovery` is what the application does by itself."""
        transport = dict(conf.get("broker_transport_options") or {})
        backend = dict(conf.get("result_backend_transport_options") or {})
        health = float(transport.get("health_check_interval") or HEALTH)
        timeouts = {
            "socket_timeout": transport.get("socket_timeout"),
            "socket_connect_timeout": transport.get("socket_connect_timeout"),
            "redis_socket_timeout": conf.get("redis_socket_timeout"),
            "retry_policy.timeout": dict(backend.get("retry_policy") or {}).get("timeout"),
            "stale BRPOP": BRPOP + 2 * health,
        }
        known = {name: float(value) for name, value in timeouts.items() if value}
        held = max([LEAST, *(value + 0.5 for value in known.values() if value <= NOTICED)])
        visibility = float(transport.get("visibility_timeout") or VISIBILITY)
        interval = transport.get("unacked_restore_interval"), transport.get("unacked_restore_throttle")
        restore = float(interval[0] or 10) * float(interval[1] or 10) if any(interval) else RESTORE
        again = visibility + 2 * restore + 1.0
        beyond = {name: value for name, value in known.items() if value > NOTICED}
        if again > 4 * NOTICED:
            beyond["visibility_timeout"], again = visibility, 0.0
        wait = max(held, NOTICED) + MARGIN
        return cls(held, wait, wait + max(again, recovery), again, recovery, beyond)
