"""`celery -A tests.integration.wedge_worker`: the system's worker whose first ack fails, as on a cut connection.

WEDGE_MARK: file that says that it has failed already. UNWATCHED: take the watchdog out.
"""

import os
from pathlib import Path

from celery.signals import worker_ready
from kombu.transport.redis import QoS
from redis.exceptions import ConnectionError as Cut

from system.worker import app, start_watchdog

__all__ = ["app"]
MARK = Path(os.environ["WEDGE_MARK"])
_ack = QoS.ack


def ack(self: QoS, delivery_tag: str) -> None:
    if not MARK.exists():
        MARK.touch()
        raise Cut("the connection was cut before the ack")
    _ack(self, delivery_tag)


QoS.ack = ack  # type: ignore[method-assign]
if "UNWATCHED" in os.environ:
    worker_ready.disconnect(start_watchdog)
