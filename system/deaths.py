"""What a worker's main process knows of its pool: a process has died while it ran a task."""

from contextlib import suppress
from typing import Any

from billiard.exceptions import WorkerLostError
from celery.worker import request, state

from system.durable import app_of
from system.store import Unusable

DEATHS = (WorkerLostError, SystemExit, KeyboardInterrupt)  # billiard's words for a process that is gone


def told_to_end(error: object) -> bool:
    """Whether a supervisor ended the process: it sent its SIGTERM to all processes of a worker, as systemd does."""
    return state.should_stop is not None and "(SIGTERM)" in str(error)


class Request(request.Request):
    """Celery's request of a durable task, which tells the store of such a death before the message goes back."""

    def on_failure(self, exc_info: Any, *args: Any, **options: Any) -> Any:
        """Called in the main process, when a run has no result."""
        error = exc_info.exception
        error = getattr(error, "exc", error)  # billiard may have wrapped it
        if isinstance(error, DEATHS) and not told_to_end(error):
            with suppress(*Unusable):
                app_of(self.task).store.over([self.id])
        return super().on_failure(exc_info, *args, **options)
