"""How long a trial waits for each change, from the configuration of the Celery application under test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brownout.explore.maps.cell import Cell

# seconds; a trial waits until the application's time-outs have passed, except for time-outs that are longer than this
NOTICED = 5.0
LEAST = 1.5  # Seconds; a fault keeps a reply for this time when the application sets no time-out.
MARGIN = 1.5  # Seconds; when a time-out has passed, a trial waits for this time and then regards the state as final.
BRPOP = 1.0  # Seconds; the default of kombu's `brpop_timeout`.
HEALTH = 25.0  # Seconds; the value of kombu.transport.redis.DEFAULT_HEALTH_CHECK_INTERVAL.
VISIBILITY = 3_600.0  # Seconds; the default of kombu's `visibility_timeout`.
RESTORE = 100.0  # Seconds; kombu's `unacked_restore_interval` times its `unacked_restore_throttle`.
POOL_TIMER = 5.0  # Seconds; Celery's pool (celery.concurrency.asynpool) looks for dead processes at this interval.


@dataclass(frozen=True)
class Bounds:
    """The times (in seconds) for which a trial waits for each kind of change. `held` (seconds) is the time for which a
    fault keeps a reply back; this time is longer than every time-out of 5 s or less. `beyond` has the names and values
    of the application's time-outs that are too long for a trial to wait for."""

    held: float
    probe: float
    result: float
    # seconds until the broker gives an unacknowledged message back; 0 when a trial does not wait that long
    recover: float
    republished: float  # seconds until the application publishes a missing message again; 0 when it never does
    beyond: Mapping[str, float]

    @property
    def still(self) -> float:
        """After so many seconds without any change, the broker gives no message back and no process publishes a message
        again."""
        return self.held + max(self.recover, self.republished) + POOL_TIMER

    @property
    def limit(self) -> float:
        """The longest time (s) that a trial lasts; a subject that recovers at all has recovered by then."""
        return self.held + self.probe + self.result + POOL_TIMER

    def place(self, cell: Cell) -> int:
        """Return the sort key of a cell: the longest trials start first, so that all threads end at about the same
        time. A trial whose fault strikes before "ZREM unacked_index" waits until the broker gives the message back."""
        if self.recover and cell.moment == "before" and cell.point.label.startswith("ZREM unacked_index"):
            return 0
        return {"never": 0, "held": 1, "late": 1, "restart-broker": 2}.get(cell.action, 3)

    def to_json(self) -> dict[str, float]:
        """Return the bounds in seconds, by the names that a stored map uses."""
        names = ("held", "probe", "result", "recover", "republished")
        longer = {f"longer: {name}": value for name, value in self.beyond.items()}
        return {name: getattr(self, name) for name in names} | longer

    @classmethod
    def of(cls, conf: Mapping[str, Any], recovery: float = 0.0) -> Bounds:
        """Return the bounds for Celery's configuration `conf`; within `recovery` seconds the application publishes a
        missing message again."""
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
