import os
import time

from celery import Celery

app = Celery("thumbnails", broker=os.environ["BROKER_URL"], backend=os.environ["RESULTS_URL"])
SIZE = int(os.environ["THUMBNAIL_SIZE"])


@app.task(bind=True, autoretry_for=(OSError,), retry_backoff=True, max_retries=3)
def thumbnail(self, path: str) -> str:
    time.sleep(0.2)
    return f"{path}.{SIZE}.png"
