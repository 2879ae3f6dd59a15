"""`celery -A tests.integration.old_worker`: the worker of a release that does not know one task."""

from system.worker import app

__all__ = ["app"]
UNKNOWN = "system.fibonacci"
app.tasks.unregister(UNKNOWN)
