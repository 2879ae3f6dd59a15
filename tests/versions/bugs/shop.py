"""The application in which old bugs are shown: one task that sleeps. It runs with any Python from 3.8 on."""

import gc
import time

from celery import Celery

gc.set_threshold(100_000)  # as in applications with many objects: the collector runs seldom by itself

app = Celery("shop")
app.conf.update(broker_connection_retry_on_startup=True, worker_prefetch_multiplier=1)


@app.task(name="shop.sleep")
def sleep(seconds):  # type: ignore[no-untyped-def]
    """Sleep so many seconds."""
    time.sleep(seconds)
