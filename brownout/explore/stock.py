"""The stock application, on which fault maps of Celery itself are made: each task appends one line to a file, which is
its effect.

Each effect is one O_APPEND write of the line {"at": ns, "task": id, "key": token}. `BROWNOUT_EFFECTS` names the file of
the effects; without this variable no effect is written.
"""

from __future__ import annotations

import json
import os
import time
from datetime import datetime
from typing import Any

from celery import Celery, Task
from celery.schedules import schedstate, schedule

app = Celery("brownout.explore.stock")
app.conf.update(broker_url=os.environ.get("BROWNOUT_BROKER"), result_backend=os.environ.get("BROWNOUT_BACKEND"))
BODY = 0.1  # seconds that a task takes, so that an early acknowledgement reaches Redis before the task's result


class Once(schedule):
    """A schedule of Celery's beat that is due once, a moment after beat starts."""

    DELAY = 0.2  # s
    sent = False

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Return whether the task is due, as `celery.schedules.schedule` does."""
        left = self.DELAY - (self.now() - last_run_at).total_seconds()
        if self.sent or left > 0:
            return schedstate(False, 3_600 if self.sent else left)
        self.sent = True
        return schedstate(True, 3_600)


app.conf.beat_schedule = {"tick": {"task": f"{__name__}.work", "schedule": Once(3_600), "args": ("job-1",)}}


def done(task: Task[Any, Any], token: str) -> None:
    """Append the effect of a task to the file of effects."""
    if path := os.environ.get("BROWNOUT_EFFECTS"):
        line = json.dumps({"at": time.monotonic_ns(), "key": token, "task": task.request.id})
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode() + b"\n")
        finally:
            os.close(handle)


@app.task(bind=True)
def work(self: Task[Any, Any], token: str, *_: Any) -> str:
    """Wait BODY seconds, write the effect, and return the token."""
    time.sleep(BODY)
    done(self, token)
    return token


@app.task(bind=True, max_retries=3)
def retrying(self: Task[Any, Any], token: str) -> str:
    """A task that fails at the first try, and then does the same as `work`."""
    if not self.request.retries:
        raise self.retry(countdown=0.2)
    time.sleep(BODY)
    done(self, token)
    return token


@app.task(bind=True)
def gather(self: Task[Any, Any], _results: list[str], token: str) -> str:
    """The task that is the body of a chord: it writes the effect."""
    done(self, token)
    return token
