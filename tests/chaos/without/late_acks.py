"""Messages are acknowledged before their tasks run, as Celery does by default."""

from system.worker import app

app.conf.update(task_acks_late=False)
