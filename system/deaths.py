"""What a worker's main process knows of its pool: a process has died while it ran a task."""

from contextlib import suppress
from typing import Any

from billiard.exceptions import WorkerLostError
from celery.worker import request

from system.durable import app_of
from system.store import Unusable

DEATHS = (WorkerLostError, SystemExit, KeyboardInterrupt)  # billiard's words for a process that is gone


class Request(request.Request):
    """Celery's request of a durable task, which tells the store of such a death before the message goes back."""

    def on_failure(self, exc_info: Any, *args: Any, **options: Any) -> Any:
        """Called in the main process, when a run has no result."""
        error = exc_info.exception
        if isinstance(getattr(error, "exc", error), DEATHS):  # billiard may have wrapped it
            with suppress(*Unusable):
                app_of(self.task).store.over([self.id])
        return super().on_failure(exc_info, *args, **options)
