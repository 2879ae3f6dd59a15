"""A redelivery of a job that has ended runs again: nobody looks at the job's state. Its key still guards its effect.

Between the effect and the ack lies a while, so that the worker can be killed in it.
"""

import time
from typing import Any

from celery.signals import task_postrun
from sqlalchemy import update

from system import rows, store
from system.job import FINAL, Start, State
from system.tables import jobs
from system.worker import app as app

start = store.Store.start


def without_look(self: store.Store, job_id: str, attempt: int) -> Start:
    with self._database.write() as connection:
        row = rows.row_of(connection, job_id)
        if row is not None and row.state in FINAL and attempt >= row.attempts:
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(state=State.STARTED))
            return Start(run=True, job=rows.job_of(row))
    return start(self, job_id, attempt)


store.Store.start = without_look  # type: ignore[method-assign]


@task_postrun.connect
def linger(**_: Any) -> None:
    time.sleep(0.2)
