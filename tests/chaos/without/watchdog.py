"""Nobody ends a worker that no longer consumes. The API still hears of it."""

from system import watchdog
from system.worker import app as app


def go_on() -> None:
    """The worker lives on."""


watchdog.end_process = go_on
