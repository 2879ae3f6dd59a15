import time

import redis
from celery import Celery

from mailer.config import settings

app = Celery("mailer", broker=settings.redis_url, backend=settings.results_url)
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True)
app.conf.broker_transport_options = {
    "visibility_timeout": 3,  # a worker that died gives its task back after 3 s
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
counts = redis.Redis.from_url(settings.results_url)


@app.task(name="mailer.send")
def send(to: str, subject: str) -> str:
    time.sleep(0.2)
    counts.incr(f"mails:{to}")
    return f"{settings.sender} wrote to {to}: {subject}"
